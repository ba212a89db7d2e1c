using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;
using DeviceAttention = CudaLora.Kernels.Ops.Attention;

namespace CudaLora.Tests.Kernels;

/// <summary>
/// The PTX of attention on the emulator, every check on, against the definition in double precision: masks, head
/// groups, head sizes and alignments. Inputs are about one in size. f32: sums of at most a thousand terms and
/// exponentials to
/// 2^-22. bf16: probabilities and their gradients are rounded to 8 bits before each product, results after it; over a
/// sum these errors average out to about the rounding of its largest terms.
/// </summary>
public sealed class AttentionDeviceTests
{
    private const double Single = 5e-5, Half = 1.0 / 40;

    public static TheoryData<string, bool> Cases
    {
        get
        {
            var data = new TheoryData<string, bool>();
            foreach (string name in Named.Keys)
            {
                data.Add(name, false);
                data.Add(name, true);
            }
            return data;
        }
    }

    private static readonly int[] Packed =
        [.. Enumerable.Range(0, 2 * 80).Select(i => (i % 80) < 30 ? 0 : (i % 80) < 37 ? 1 : 2)];

    private static readonly int[] Mixed = [.. Enumerable.Range(0, 2 * 80).Select(i => i % 3)];

    private static readonly Dictionary<string, AttentionOracle> Named = new()
    {
        ["one key"] = new() { Batch = 1, Queries = 1, Keys = 1, QueryHeads = 1, KeyHeads = 1, Size = 1 },
        ["tiny heads"] = new() { Batch = 2, Queries = 9, Keys = 9, QueryHeads = 4, KeyHeads = 2, Size = 8 },
        ["causal, groups"] = new() { Batch = 2, Queries = 80, Keys = 80, QueryHeads = 4, KeyHeads = 2, Size = 32 },
        ["causal, size 64"] = new() { Batch = 1, Queries = 130, Keys = 130, QueryHeads = 1, KeyHeads = 1, Size = 64 },
        ["causal, size 128"] = new() { Batch = 1, Queries = 140, Keys = 140, QueryHeads = 1, KeyHeads = 1, Size = 128 },
        ["size 256"] = new() { Batch = 1, Queries = 35, Keys = 40, QueryHeads = 2, KeyHeads = 1, Size = 256 },
        ["odd size"] = new() { Batch = 1, Queries = 37, Keys = 37, QueryHeads = 3, KeyHeads = 3, Size = 17 },
        ["odd wide size"] = new() { Batch = 1, Queries = 18, Keys = 21, QueryHeads = 2, KeyHeads = 2, Size = 131 },
        ["queries last"] = new() { Batch = 1, Queries = 40, Keys = 150, QueryHeads = 6, KeyHeads = 1, Size = 24 },
        ["queries before keys"] = new() { Batch = 1, Queries = 50, Keys = 20, QueryHeads = 2, KeyHeads = 2, Size = 8 },
        ["no mask"] =
            new() { Batch = 1, Queries = 65, Keys = 70, QueryHeads = 2, KeyHeads = 2, Size = 64, Causal = false },
        ["window"] = new() { Batch = 1, Queries = 90, Keys = 90, QueryHeads = 2, KeyHeads = 1, Size = 16, Window = 20 },
        ["wide window"] =
            new() { Batch = 1, Queries = 60, Keys = 200, QueryHeads = 2, KeyHeads = 1, Size = 16, Window = 130 },
        ["segments"] =
            new() { Batch = 2, Queries = 80, Keys = 80, QueryHeads = 4, KeyHeads = 2, Size = 24, Segments = Packed },
        ["mixed segments, window"] = new()
        {
            Batch = 2,
            Queries = 80,
            Keys = 80,
            QueryHeads = 2,
            KeyHeads = 2,
            Size = 72,
            Segments = Mixed,
            Window = 40,
        },
        ["lengths"] = new()
        {
            Batch = 3,
            Queries = 50,
            Keys = 50,
            QueryHeads = 2,
            KeyHeads = 1,
            Size = 16,
            Lengths = [50, 33, 0],
        },
        ["lengths, no mask"] = new()
        {
            Batch = 3,
            Queries = 40,
            Keys = 70,
            QueryHeads = 2,
            KeyHeads = 1,
            Size = 16,
            Causal = false,
            Lengths = [1, 70, 49],
        },
        ["starts, few queries"] = new()
        {
            Batch = 2,
            Queries = 10,
            Keys = 90,
            QueryHeads = 2,
            KeyHeads = 1,
            Size = 16,
            Lengths = [30, 90],
            Starts = [20, 80],
        },
        ["one query, long keys"] = new()
        {
            Batch = 2,
            Queries = 1,
            Keys = 600,
            QueryHeads = 14,
            KeyHeads = 2,
            Size = 64,
            Lengths = [90, 600],
            Starts = [89, 599],
        },
        ["one query, many heads"] = new()
        {
            Batch = 2,
            Queries = 1,
            Keys = 140,
            QueryHeads = 40,
            KeyHeads = 1,
            Size = 200,
        },
        ["three queries, window"] =
            new() { Batch = 1, Queries = 3, Keys = 700, QueryHeads = 5, KeyHeads = 5, Size = 21, Window = 300 },
        ["two queries, many heads"] = new()
        {
            Batch = 1,
            Queries = 2,
            Keys = 300,
            QueryHeads = 20,
            KeyHeads = 1,
            Size = 128,
        },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void MatchesTheDefinition(string name, bool bf16)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        AttentionOracle oracle = Named[name];
        using var run = new AttentionDeviceRun(context, oracle, bf16, seed: name.Length);
        run.Forward();
        run.Backward();
        double tolerance = bf16 ? Half : Single;
        double[] lse = new double[oracle.Batch * oracle.QueryHeads * oracle.Queries];
        double[] y = oracle.Forward(run.Q, run.K, run.V, lse);
        (double[] dq, double[] dk, double[] dv) = oracle.Backward(run.Q, run.K, run.V, run.Dy);
        Near(y, run.Y(), tolerance, "y");
        Near(lse, run.Lse(), tolerance, "lse");
        // dq adds to ones and dk to twos; dv overwrites.
        Near([.. dq.Select(value => value + 1)], run.Dq(), tolerance, "dq");
        Near([.. dk.Select(value => value + 2)], run.Dk(), tolerance, "dk");
        Near(dv, run.Dv(), tolerance, "dv");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AnotherScheduleChangesNoBit(bool bf16)
    {
        Assert.Equal(Bits(1), Bits(99));

        float[] Bits(ulong seed)
        {
            using var driver = new EmulatedDriver(new EmulatorOptions { Seed = seed });
            using CudaContext context = CudaContext.Open(driver);
            using var run = new AttentionDeviceRun(context, Named["segments"], bf16, seed: 5);
            run.Forward();
            run.Backward();
            return [.. run.Y(), .. run.Dq(), .. run.Dk(), .. run.Dv()];
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void WhatIsNotAskedForIsLeftAlone(bool bf16)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        AttentionOracle oracle = Named["tiny heads"];
        using var run = new AttentionDeviceRun(context, oracle, bf16, seed: 1);
        run.Forward(wantsLse: false);
        Near(oracle.Forward(run.Q, run.K, run.V, new double[oracle.Batch * oracle.QueryHeads * oracle.Queries]),
            run.Y(), bf16 ? Half : Single, "y");
        run.Forward();
        run.Backward(wantsK: false);
        Assert.All(run.Dk(), value => Assert.Equal(2, value));
        Near(oracle.Backward(run.Q, run.K, run.V, run.Dy).V, run.Dv(), bf16 ? Half : Single, "dv");
    }

    [Theory]
    [InlineData(257, 1f, "head size on a CUDA device must be 1 to 256, but got 257")]
    [InlineData(64, 0f, "scale on a CUDA device must be above zero, but got 0")]
    public void WhatTheKernelsCannotDoIsRefused(int size, float scale, string message)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        var problem = new AttentionProblem
        {
            Batch = 1,
            Queries = 1,
            Keys = 1,
            QueryHeads = 1,
            KeyHeads = 1,
            Size = size,
            Scale = scale,
        };
        ArgumentException error = Assert.Throws<ArgumentException>(
            () => DeviceAttention.Forward(context.Stream, problem, false, 16, 16, 16, 16, 0, 0));
        Assert.Contains(message, error.Message, StringComparison.Ordinal);
    }

    private static void Near(double[] expected, float[] actual, double tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            if (double.IsNegativeInfinity(expected[i]) && float.IsNegativeInfinity(actual[i])) continue;
            double distance = Math.Abs(actual[i] - expected[i]) / (1 + Math.Abs(expected[i]));
            Assert.True(distance <= tolerance, $"{what}[{i}] must be {expected[i]}, but got {actual[i]}");
        }
    }
}
