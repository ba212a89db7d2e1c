using BenchmarkDotNet.Attributes;
using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Keys and values of 1024 tokens of 8 rows, 4 heads of 64, into a cache: 8 MiB each.</summary>
[Config(typeof(BenchConfig))]
[Traffic(Forward = 4, Backward = 0)]
public class CacheAppendBench
{
    private Tensor keys = null!;
    private Tensor values = null!;
    private Tensor k = null!;
    private Tensor v = null!;
    private Tensor starts = null!;

    /// <summary>Makes the cache and the tokens.</summary>
    [GlobalSetup]
    public void Setup()
    {
        var (room, tokens) = (Shape.Of(8, 2048, 4, 64), Shape.Of(8, OpBench.Rows * OpBench.Columns / 2048, 4, 64));
        (keys, values) = (Tensor.Zeros(room), Tensor.Zeros(room));
        (k, v) = (Tensor.Zeros(tokens), Tensor.Zeros(tokens));
        starts = Tensor.From([0, 1, 2, 3, 4, 5, 6, 7], Shape.Of(8));
    }

    /// <summary>The copy.</summary>
    [Benchmark]
    public void Forward()
    {
        using var scope = TensorScope.Begin();
        keys.CacheAppend(values, k, v, starts);
    }
}
