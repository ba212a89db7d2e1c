using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Running;
using CudaLora.Bench;
using CudaLora.Bench.Ops;

namespace CudaLora.Tests;

/// <summary>The bench program's command line; no test runs a benchmark.</summary>
public class BenchArgumentsTests
{
    [Theory]
    [InlineData("", false, "--filter|*", "--filter|*")]
    [InlineData("", false, "", "")]
    [InlineData("", true, "--quick", "--filter|*")]
    [InlineData("", true, "--quick|--memory", "--filter|*|--memory")]
    [InlineData("", false, "--full|--filter|*Lora*|--threads|2", "--filter|*Lora*")]
    [InlineData("", true, "--filter|*Silu*|--quick", "--filter|*Silu*")]
    [InlineData("", true, "--quick|--list|flat", "--list|flat")]
    [InlineData("gpu", false, "gpu|--device|cuda", "--device|cuda")]
    [InlineData("readme", false, "readme|--check", "--check")]
    public void ArgumentsPassThrough(string mode, bool quick, string args, string rest)
    {
        var read = BenchArguments.Read(Split(args));
        Assert.Equal((mode, quick), (read.Mode, read.Quick));
        Assert.Equal(Split(rest), read.Rest);
    }

    [Fact]
    public void ThreadsAreANumberAndFullIsAFlag()
    {
        var read = BenchArguments.Read(["--full", "--threads", "3"]);
        Assert.Equal((true, 3), (read.WholeGrid, read.Threads));
        Assert.False(BenchArguments.Read([]).WholeGrid);
        Assert.Throws<ArgumentException>(() => BenchArguments.Read(["--threads"]));
        Assert.Throws<ArgumentException>(() => BenchArguments.Read(["--threads", "none"]));
    }

    [Fact]
    public void EveryClassShowsTheColumns()
    {
        // The emulator's times are per instruction: neither bytes nor operations are the processor's.
        foreach (var type in Classes().Where(type => type != typeof(EmulatorBench)))
        {
            var cases = BenchmarkConverter.TypeToBenchmarks(type);
            var columns = cases.Config.GetColumnProviders().OfType<SimpleColumnProvider>()
                .SelectMany(provider => provider.GetColumns(null!)).Select(column => column.ColumnName);
            Assert.Superset(WorkColumn.All.Select(column => column.ColumnName).ToHashSet(), columns.ToHashSet());
            foreach (var one in cases.BenchmarksCases)
                Assert.True(Work.Of(one) is not null, $"{type.Name}.{one.Descriptor.WorkloadMethod.Name}");
        }
    }

    [Fact]
    public void ALargerMethodOfACaseCountsMore()
    {
        IWork lora = new LoraLinearBench.LoraSize(512, 1024, 2048, 16);
        // y = x Wᵀ, S = x Aᵀ, y += S Bᵀ; then dx = dy W, dS = dy B, dx += dS A, dA and dB.
        double whole = 2.0 * 512 * 1024 * 2048, thin = 2.0 * 512 * 16 * (1024 + 2048);
        Assert.Equal(whole + thin, lora.Of("Forward").Flops);
        Assert.Equal((2 * whole) + (3 * thin), lora.Of("ForwardBackward").Flops);
        Assert.Equal(4.0 * ((1024 * 2048) + (512 * 3072) + (16 * 3072)), lora.Of("Forward").Bytes);
        IWork rows = new AttentionBench.Shape(1, 4, 4, 1, 1, 8);
        Assert.Equal(4 * 8 * 10, rows.Of("Forward").Flops); // 10 of 16 places are seen
        Assert.Equal(10 * 8 * 10, rows.Of("Backward").Flops);
    }

    [Fact]
    public void QuickTakesOneSizeOfEveryMethodOfEveryClass()
    {
        var classes = Classes().ToArray();
        Assert.True(classes.Length > 35, $"{classes.Length} classes");
        foreach (var type in classes)
        {
            var cases = BenchmarkConverter.TypeToBenchmarks(type, new QuickConfig()).BenchmarksCases;
            Assert.Equal(Benchmarks(type), cases.Length);
            Assert.Single(cases.Select(one => one.Parameters.ValueInfo).Distinct());
        }
    }

    private static IEnumerable<Type> Classes() => typeof(OpBench).Assembly.GetTypes().Where(
        type => type is { IsPublic: true, IsAbstract: false } && Benchmarks(type) > 0);

    private static int Benchmarks(Type type) =>
        type.GetMethods().Count(method => method.IsDefined(typeof(BenchmarkAttribute), inherit: true));

    private static string[] Split(string text) => text.Split('|', StringSplitOptions.RemoveEmptyEntries);
}
