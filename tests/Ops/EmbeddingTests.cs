using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class EmbeddingTests
{
    [Theory, OnDevices]
    public void PyTorchGolden(string device)
    {
        using var scope = OpCheck.On(device);
        OpGolden.Check("embedding", ["w", "ids"], t => t[0].Embedding(t[1]));
    }

    [Theory, OnDevices]
    public void Output_IsTheRows(string device)
    {
        using var scope = OpCheck.On(device);
        var table = OpCheck.Leaf(1, 4, 3);
        var p = table.ToArray();
        int[] ids = [3, 0, 3, 1];
        var y = table.Embedding(Tensor.From(ids, Shape.Of(2, 2)));
        OpCheck.Values(y, Shape.Of(2, 2, 3), i => p[(ids[i / 3] * 3) + (i % 3)], 0);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor table = OpCheck.Leaf(1, 4, 3), ids = OpCheck.Ids(3, 0, 3, 1, 3);
        GradientCheck.Run(() => table.Embedding(ids), table);
        OpCheck.SecondUseAccumulates(() => table.Embedding(ids), table);
    }

    [Theory, OnDevices]
    public void FrozenTable_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor table = OpCheck.Leaf(1, 4, 3), ids = OpCheck.Ids(3, 0);
        OpCheck.FrozenInputsGetNoWork(() => table.Embedding(ids), table);
    }

    [Fact]
    public void WrongIdsAndShapes_AreNamed()
    {
        OpCheck.Refused(
            "[embedding] ids must be below 4, but got 4",
            () => Tensor.Zeros(Shape.Of(4, 3)).Embedding(OpCheck.Ids(1, 4)));
        OpCheck.Refused(
            "[embedding] table must be a matrix and ids I32, but got table (4), ids I32 (1)",
            () => Tensor.Zeros(Shape.Of(4)).Embedding(OpCheck.Ids(1)));
    }

    // The hidden states of labelled places: rows that repeat add up, the others get zeros.
    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        int[] ids = [4, 0, 4, 1, 4, 4, 2];
        Bf16Check.Run(
            t => t[0].Embedding(OpCheck.Ids(ids)), t => [.. ids.SelectMany(id => t[0].Skip(id * 3).Take(3))],
            Shape.Of(6, 3));
    }
}
