using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class LinearCrossEntropyTests
{
    private static readonly int[] Labels = [5, 0, -100, 2, 4];

    private static Tensor Factor(float value) => Tensor.From([value], Shape.Scalar);

    private static Tensor Frozen(int seed, params ReadOnlySpan<int> dims)
    {
        var weight = OpCheck.Leaf(seed, dims);
        weight.RequiresGrad = false;
        return weight;
    }

    private static Tensor Loss(Tensor x, Tensor w, int chunkRows) =>
        x.LinearCrossEntropy(w, OpCheck.Ids(Labels), Factor(0.5f), chunkRows);

    // Chunks of two: two whole ones and a rest.
    [Theory, OnDevices]
    public void ComposedTwin_Agrees(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 5, 3), w = Frozen(2, 6, 3);
        var composed = x.Linear(w).CrossEntropy(OpCheck.Ids(Labels), 0.5f);
        composed.Scale(3).Backward();
        var gradient = x.Grad!.ToArray();
        foreach (var chunk in new[] { 1, 2, 5, 1024 })
        {
            x.ReleaseGrad();
            var fused = Loss(x, w, chunk);
            Assert.Equal(composed.Item(), fused.Item(), 1e-6f);
            fused.Scale(3).Backward();
            OpCheck.Values(x.Grad!, Shape.Of(5, 3), i => gradient[i], 1e-6);
        }
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 5, 3), w = Frozen(2, 6, 3);
        GradientCheck.Run(() => Loss(x, w, 2), x);
        OpCheck.SecondUseAccumulates(() => Loss(x, w, 2), x);
    }

    [Theory, OnDevices]
    public void FrozenHidden_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 5, 3), w = Frozen(2, 6, 3);
        OpCheck.FrozenInputsGetNoWork(() => Loss(x, w, 2), x);
    }

    // An output layer that has, or had, an adapter.
    [Theory, OnCudaDevices]
    public void AWeightWithAdapterRoom_IsReadWhereItLies(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Bf16Leaf(1, 5, 8), w = OpCheck.Bf16Leaf(2, 6, 8);
        w.RequiresGrad = false;
        var (loss, gradient, bytes) = Run();
        w.MakeAdapterRoom();
        Assert.True(w.HasAdapterRoom);
        var (lossThere, gradientThere, bytesThere) = Run();
        Assert.Equal(loss, lossThere);
        Assert.Equal(gradient, gradientThere);
        Assert.Equal(bytes, bytesThere);

        (float Loss, float[] Gradient, long Bytes) Run()
        {
            x.ReleaseGrad();
            using var inner = TensorScope.Begin();
            Device.Default.ResetPeakMemory();
            var before = Device.Default.Memory.InUse;
            var result = Loss(x, w, 2);
            result.Backward();
            return (result.Item(), x.Grad!.ToArray(), Device.Default.Memory.Peak - before);
        }
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        var w = OpCheck.Bf16Leaf(2, 6, 3);
        w.RequiresGrad = false;
        var q = w.ToArray();
        // Logits are kept in BF16 between the products: 2^-8 of a logit of order one is 4e-3 of the loss.
        var x = OpCheck.Bf16Leaf(1, 5, 3);
        var p = x.ToArray();
        double Logit(int r, int v) => Enumerable.Range(0, 3).Sum(c => (double)p[(r * 3) + c] * q[(v * 3) + c]);
        double Share(int r, int v) => Math.Exp(Logit(r, v)) / Enumerable.Range(0, 6).Sum(u => Math.Exp(Logit(r, u)));
        var loss = Loss(x, w, 2);
        var expected = 0.5 * Enumerable.Range(0, 5).Sum(r => Labels[r] < 0 ? 0 : -Math.Log(Share(r, Labels[r])));
        Assert.Equal(expected, loss.Item(), 0.02);
        loss.Backward();
        Assert.Equal(DType.BF16, x.Grad!.DType);
        OpCheck.Values(
            x.Grad!, Shape.Of(5, 3),
            i => Labels[i / 3] < 0 ? 0 : 0.5 * Enumerable.Range(0, 6).Sum(
                v => (Share(i / 3, v) - (v == Labels[i / 3] ? 1 : 0)) * q[(v * 3) + (i % 3)]),
            0.02);
    }

    [Theory, OnDevices]
    public void LogitsExistAChunkAtATime(string device)
    {
        using var scope = OpCheck.On(device);
        const int Rows = 64, Vocabulary = 1000;
        Tensor x = OpCheck.Leaf(1, Rows, 8), w = Frozen(2, Vocabulary, 8);
        var labels = Tensor.From(Enumerable.Range(0, Rows).ToArray(), Shape.Of(Rows));
        var factor = Factor(1);
        var before = Device.Default.Memory.InUse;
        Device.Default.ResetPeakMemory();
        x.LinearCrossEntropy(w, labels, factor, chunkRows: 4);
        // Four rows of logits, and blocks of up to twice their size; all of them would be 16 times as much.
        Assert.InRange(Device.Default.Memory.Peak - before, 4 * Vocabulary * 4, 4 * 4 * Vocabulary * 4);
    }

    [Fact]
    public void Mistakes_AreNamed()
    {
        Tensor x = OpCheck.Leaf(1, 5, 3), w = OpCheck.Leaf(2, 6, 3);
        w.Name = "lm_head.weight";
        OpCheck.Refused(
            "[linear_cross_entropy] weight must be frozen, but lm_head.weight F32 (6, 3) wants a gradient",
            () => Loss(x, w, 2));
        OpCheck.Refused(
            "[linear_cross_entropy] labels must be I32, one per row of hidden, but got I32 (2) (hidden (5, 3))",
            () => x.LinearCrossEntropy(w, OpCheck.Ids(1, 2), Factor(1)));
        OpCheck.Refused(
            "[linear_cross_entropy] labels must be below 6 or -100, but got 6",
            () => x.LinearCrossEntropy(w, OpCheck.Ids(1, 2, 3, 4, 6), Factor(1)));
    }
}
