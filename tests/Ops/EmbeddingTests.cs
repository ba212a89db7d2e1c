using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class EmbeddingTests
{
    [Fact]
    public void PyTorchGolden() => OpGolden.Check("embedding", ["w", "ids"], t => t[0].Embedding(t[1]));

    [Fact]
    public void Output_IsTheRows()
    {
        using var scope = TensorScope.Begin();
        var table = OpCheck.Leaf(1, 4, 3);
        var p = table.ToArray();
        int[] ids = [3, 0, 3, 1];
        var y = table.Embedding(Tensor.From(ids, Shape.Of(2, 2)));
        OpCheck.Values(y, Shape.Of(2, 2, 3), i => p[(ids[i / 3] * 3) + (i % 3)], 0);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        Tensor table = OpCheck.Leaf(1, 4, 3), ids = OpCheck.Ids(3, 0, 3, 1, 3);
        GradientCheck.Run(() => table.Embedding(ids), table);
        OpCheck.SecondUseAccumulates(() => table.Embedding(ids), table);
    }

    [Fact]
    public void FrozenTable_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
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
}
