using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests;

/// <summary>Lane exchange, votes, reductions and their mask rules.</summary>
public class WarpTests
{
    private static int[] Run(string body) => PtxText.Threads(body).RunAll().Read<int>(1);

    [Theory]
    [InlineData("up", 1, 0, "0 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30")]
    [InlineData("down", 2, 31,
        "2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 30 31")]
    [InlineData("bfly", 1, 31, "1 0 3 2 5 4 7 6 9 8 11 10 13 12 15 14 17 16 19 18 21 20 23 22 25 24 27 26 29 28 31 30")]
    [InlineData("idx", 3, 0x181F,
        "3 3 3 3 3 3 3 3 11 11 11 11 11 11 11 11 19 19 19 19 19 19 19 19 27 27 27 27 27 27 27 27")]
    public void Shuffles(string mode, int by, int clamp, string want)
    {
        int[] found = Run($"shfl.sync.{mode}.b32 %r0, tid, {by}, {clamp}, 0xFFFFFFFF; st.global.u32 [outAt], %r0;");
        Assert.Equal(want.Split(' ').Select(int.Parse), found);
    }

    [Fact]
    public void ShufflePredicateSaysWhetherTheSourceWasInRange()
    {
        int[] found = Run(
            "shfl.sync.down.b32 %r0|%p0, tid, 4, 31, 0xFFFFFFFF; selp.u32 %r0, 1, 0, %p0; st.global.u32 [outAt], %r0;");
        Assert.Equal(Enumerable.Range(0, 32).Select(t => t < 28 ? 1 : 0), found);
    }

    [Theory]
    [InlineData("setp.lt.u32 %p0, tid, 5; vote.sync.ballot.b32 %r0, %p0, 0xFFFFFFFF;", 31)]
    [InlineData("setp.lt.u32 %p0, tid, 5; vote.sync.any.pred %p1, %p0, -1; selp.u32 %r0, 1, 0, %p1;", 1)]
    [InlineData("setp.lt.u32 %p0, tid, 5; vote.sync.all.pred %p1, %p0, -1; selp.u32 %r0, 1, 0, %p1;", 0)]
    [InlineData("setp.lt.u32 %p0, tid, 99; vote.sync.uni.pred %p1, %p0, -1; selp.u32 %r0, 1, 0, %p1;", 1)]
    [InlineData("redux.sync.add.u32 %r0, tid, 0xFFFFFFFF;", 496)]
    [InlineData("sub.s32 %r1, tid, 9; redux.sync.min.s32 %r0, %r1, 0xFFFFFFFF;", -9)]
    [InlineData("redux.sync.xor.b32 %r0, tid, 0xFFFFFFFF;", 0)]
    [InlineData("match.all.sync.b32 %r0|%p0, 5, 0xFFFFFFFF;", -1)]
    [InlineData("activemask.b32 %r0;", -1)]
    public void GivesEveryLaneTheSame(string body, int want) =>
        Assert.All(Run(body + "st.global.u32 [outAt], %r0;"), v => Assert.Equal(want, v));

    [Fact]
    public void MatchAnyFindsEqualLanes()
    {
        int[] found = Run("and.b32 %r1, tid, 3; match.any.sync.b32 %r0, %r1, 0xFFFFFFFF; st.global.u32 [outAt], %r0;");
        Assert.Equal(Enumerable.Range(0, 32).Select(t => 0x11111111 << (t & 3)), found);
    }

    [Fact]
    public void ElectPicksOneLane()
    {
        int[] found = Run("elect.sync %r0|%p0, 0xFFFFFFFF; selp.u32 %r1, 1, 0, %p0; st.global.u32 [outAt], %r1;");
        Assert.Equal(1, found.Sum());
    }

    [Fact]
    public void PartialMasksWorkWhenTheyNameTheLanesThatRun()
    {
        int[] found = Run("""
                setp.ge.u32 %p0, tid, 16;
                mov.u32 %r0, 0;
                @%p0 bra END;
                redux.sync.add.u32 %r0, tid, 0x0000FFFF;
            END:
                st.global.u32 [outAt], %r0;
            """);
        Assert.Equal(Enumerable.Range(0, 32).Select(t => t < 16 ? 120 : 0), found);
    }

    [Theory]
    [InlineData("setp.lt.u32 %p0, tid, 16; @%p0 shfl.sync.idx.b32 %r0, tid, 0, 31, 0xFFFFFFFF;")]
    [InlineData("shfl.sync.idx.b32 %r0, tid, 0, 31, 0x0000FFFF;")]
    [InlineData("setp.lt.u32 %p0, tid, 16; @%p0 bar.warp.sync 0xFFFFFFFF;")]
    [InlineData("setp.lt.u32 %p0, tid, 16; @%p0 shfl.sync.idx.b32 %r0, tid, 20, 31, 0x0000FFFF;")]
    public void AMaskThatDoesNotFitIsAFault(string body) => PtxText.Threads(body).Run().Faulted(FaultKind.WarpMask);
}
