using CudaLora.Engine;
using TorchSharp;
using F = TorchSharp.torch.nn.functional;

namespace CudaLora.Peers;

/// <summary>
/// Every op of the engine that torch has too, or that is written with few of its functions, on 8 MiB as a rule.
/// </summary>
internal static class OpPeer
{
    private const int Rows = 2048;
    private const int Columns = 1024;

    private static readonly Shape Square = Shape.Of(Rows, Columns);
    private static readonly OpInput X = new(Square);
    // Away from zero, for what divides.
    private static readonly OpInput Z = new(Square, Low: 0.5f);
    private static readonly OpInput Weight = new(Shape.Of(Columns), Trained: false, Low: 0.5f);

    public static void Run(Contest contest)
    {
        var ops = new OpContest(contest, "op");
        RowWise(ops);
        Elementwise(ops);
        Reductions(ops);
        Moves(ops);
        AttentionPeer.Run(ops);
        LookupPeer.Run(ops);
    }

    private static void RowWise(OpContest ops)
    {
        const string shape = "2048 x 1024";
        ops.Run($"softmax, {shape}", [X], x => x[0].Softmax(), x => x[0].softmax(-1));
        ops.Run($"log-softmax, {shape}", [X], x => x[0].LogSoftmax(), x => F.log_softmax(x[0], -1));
        ops.Run(
            $"layer norm, {shape}", [X, Weight], x => x[0].LayerNorm(x[1], null, 1e-5f),
            x => F.layer_norm(x[0], [Columns], x[1], null, 1e-5));
        ops.Run(
            $"RMS norm, {shape}", [X, Weight], x => x[0].RmsNorm(x[1], 1e-6f),
            x => x[0] * torch.rsqrt(x[0].square().mean([-1], keepdim: true) + 1e-6) * x[1]);
        ops.Run($"SiLU, {shape}", [X], x => x[0].Silu(), x => F.silu(x[0]));
        ops.Run($"SwiGLU, {shape}", [X, X], x => x[0].Swiglu(x[1]), x => F.silu(x[0]) * x[1]);
        ops.Run($"GELU, {shape}", [X], x => x[0].Gelu(), x => F.gelu(x[0]));
        ops.Run(
            $"GELU by tanh, {shape}", [X], x => x[0].Gelu(tanh: true),
            x => F.gelu(x[0], TorchSharp.Modules.GELU.Approximate.tanh, false));
        // The draws are not the same: the kept values are, and nearly as many are kept.
        ops.Run(
            $"dropout 0.1, {shape}", [Z], x => x[0].Dropout(new DropoutMask(0.1f, 1, 2)),
            x => F.dropout(x[0], 0.1, training: true), 0.01, distance: Kept);
    }

    private static void Elementwise(OpContest ops)
    {
        const string shape = "2048 x 1024";
        ops.Run($"add, {shape}", [X, Z], x => x[0].Add(x[1]), x => x[0] + x[1]);
        ops.Run($"subtract, {shape}", [X, Z], x => x[0].Sub(x[1]), x => x[0] - x[1]);
        ops.Run($"multiply, {shape}", [X, Z], x => x[0].Mul(x[1]), x => x[0] * x[1]);
        ops.Run($"divide, {shape}", [X, Z], x => x[0].Div(x[1]), x => x[0] / x[1]);
        ops.Run($"scale, {shape}", [X], x => x[0].Scale(0.5f), x => x[0] * 0.5f);
    }

    private static void Reductions(OpContest ops)
    {
        const string shape = "2048 x 1024";
        ops.Run($"sum of all, {shape}", [Z], x => x[0].Sum(), x => x[0].sum());
        ops.Run($"mean of rows, {shape}", [Z], x => x[0].Mean(1), x => x[0].mean([1]));
        ops.Run($"mean of columns, {shape}", [Z], x => x[0].Mean(0), x => x[0].mean([0]));
        ops.Run($"largest of rows, {shape}", [X], x => x[0].Max(1), x => x[0].max(1, false).Item1);
        ops.Run($"largest of columns, {shape}", [X], x => x[0].Max(0), x => x[0].max(0, false).Item1);
    }

    private static void Moves(OpContest ops)
    {
        var heads = new OpInput(Shape.Of(8, 256, 8, Columns / 8));
        ops.Run("transpose, 2048 x 1024", [X], x => x[0].Transpose(0, 1), x => x[0].t().contiguous());
        ops.Run(
            "permute 0 2 1 3, 8 x 256 x 8 x 128", [heads], x => x[0].Permute(0, 2, 1, 3),
            x => x[0].permute(0, 2, 1, 3).contiguous());
        ops.Run(
            "permute 3 0 1 2, 8 x 256 x 8 x 128", [heads], x => x[0].Permute(3, 0, 1, 2),
            x => x[0].permute(3, 0, 1, 2).contiguous());
        ops.Run(
            "concat of columns, 2048 x 1024 twice", [X, X], x => TensorOps.Concat(1, x[0], x[1]), x => torch.cat(x, 1));
        ops.Run(
            "slice of columns, 2048 x 512 of 1024", [X], x => x[0].Slice(1, 256, 512),
            x => x[0].slice(1, 256, 768, 1).contiguous());
    }

    private static double Kept(float[] ours, float[] peer)
    {
        var kept = ours.Zip(peer).Where(pair => pair.First != 0 && pair.Second != 0)
            .Select(pair => (double)Math.Abs(pair.First - pair.Second)).DefaultIfEmpty(double.NaN).Max();
        double Share(float[] values) => values.Count(value => value != 0) / (double)values.Length;
        return Math.Max(kept, Math.Abs(Share(ours) - Share(peer)));
    }
}
