using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// y = x W0ᵀ + b + s (drop(x) Aᵀ) Bᵀ (Hu et al. 2021, arXiv 2106.09685). W0 gets no gradient work when it is
    /// frozen.
    /// </summary>
    /// <param name="x">Input (..., in), F32; on CUDA also BF16, see <see cref="LoraStrategy"/>.</param>
    /// <param name="weight">W0 (out, in), F32; on CUDA also BF16.</param>
    /// <param name="bias">b (out), F32, or null.</param>
    /// <param name="a">A (r, in), F32.</param>
    /// <param name="b">B (out, r), F32.</param>
    /// <param name="scale">s = alpha / r, or alpha / √r.</param>
    /// <param name="dropout">Mask on the adapter's input; the base path sees x whole.</param>
    /// <returns>(..., out).</returns>
    public static Tensor LoraLinear(
        this Tensor x, Tensor weight, Tensor? bias, Tensor a, Tensor b, float scale, DropoutMask dropout = default)
    {
        LinearOp.Check("lora_linear", x, weight, bias);
        LoraLinearOp.CheckAdapter(a, b, weight.Shape);
        return new LoraLinearOp(x, weight, bias, a, b, scale, dropout).Run(x.Shape.With(^1, weight.Shape[0]));
    }
}

internal unsafe partial class LoraLinearOp : Op
{
    private protected readonly Tensor x; // (M, in)
    private protected readonly Tensor? bias; // (out)
    private protected readonly Tensor a; // (r, in)
    private protected readonly Tensor b; // (out, r)
    private protected readonly float scale;
    private readonly Tensor? weight; // (out, in); null when it is 4-bit
    private readonly DropoutMask dropout;
    private readonly LoraDownOp? down; // makes S for several layers of one x, and dA and the adapters' part of dX
    private readonly Tensor? shared; // their S (M, ranks)
    private readonly int slot; // first of this layer's columns of it

    public LoraLinearOp(
        Tensor x, Tensor? weight, Tensor? bias, Tensor a, Tensor b, float scale, DropoutMask dropout,
        LoraDownOp? down = null, Tensor? shared = null, int slot = 0)
        : base("lora_linear", shared ?? x, weight, bias, shared is null ? a : null, b)
    {
        (this.x, this.weight, this.bias, this.a, this.b) = (x, weight, bias, a, b);
        (this.scale, this.dropout) = (scale, dropout);
        (this.down, this.shared, this.slot) = (down, shared, slot);
        if (shared is not null)
            Save(shared);
        if ((shared is null && NeedsGrad(a)) || NeedsGrad(weight))
            Save(x);
        if (NeedsGrad(x) && weight is not null)
            Save(weight);
        Save(a);
        Save(b);
    }

    private int Rank => a.Shape[0];

    public static void CheckAdapter(Tensor a, Tensor b, Shape weight)
    {
        if (a.Shape.Rank != 2 || b.Shape.Rank != 2 || a.Shape[1] != weight[1] || b.Shape[0] != weight[0]
            || a.Shape[0] != b.Shape[1])
            throw new ArgumentException(
                $"[lora_linear] A must be (r, in) and B (out, r), but got A {a.Shape}, B {b.Shape}, weight {weight}");
        if (a.DType != DType.F32 || b.DType != DType.F32)
            throw new ArgumentException($"[lora_linear] A and B must be F32, but got A {a.DType}, B {b.DType}");
    }

    /// <summary>y = x W0ᵀ + b.</summary>
    private protected virtual void ForwardBase(Tensor y) => LinearOp.Forward(x, weight!, bias, y);

    /// <summary>Gradients of x, W0 and b along the base path.</summary>
    private protected virtual void BackwardBase(Tensor dy) => LinearOp.Backward(x, weight!, bias, dy);

    protected override void ForwardCpu(Tensor y)
    {
        ForwardBase(y);
        var (m, n, k, r) = (y.Shape.Rows, b.Shape[0], a.Shape[1], Rank);
        if (shared is null)
        {
            var s = RentScratch<float>((long)m * r); // S = drop(x) Aᵀ (M, r)
            var input = Dropped(out var copy);
            Gemm.Run(false, true, m, r, k, 1, input, k, a.Pointer<float>(), k, 0, s, r);
            copy?.Release();
        }
        Gemm.Run(false, true, m, n, r, scale, HostS, HostPitch, b.Pointer<float>(), r, 1, y.Pointer<float>(), n);
    }

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        BackwardBase(dy);
        var (m, n, k, r) = (dy.Shape.Rows, b.Shape[0], a.Shape[1], Rank);
        var d = dy.Pointer<float>();
        if (NeedsGrad(b))
        {
            var g = GradOf(b, out var add); // dB = s dYᵀ S
            Gemm.Run(true, false, n, r, m, scale, d, n, HostS, HostPitch, add ? 1 : 0, g.Pointer<float>(), r);
        }
        if (shared is not null)
        {
            if (NeedsGrad(shared))
            {
                var to = LoraDownOp.GradOfS(shared).Pointer<float>() + slot; // dS = s dY B
                Gemm.Run(false, false, m, r, n, scale, d, n, b.Pointer<float>(), r, 0, to, HostPitch);
            }
            return;
        }
        if (!NeedsGrad(a) && !NeedsGrad(x))
            return;
        var small = dy.Device.Rent((long)m * r * sizeof(float)); // dS = s dY B (M, r)
        var ds = (float*)small.Pointer;
        Gemm.Run(false, false, m, r, n, scale, d, n, b.Pointer<float>(), r, 0, ds, r);
        if (NeedsGrad(a))
        {
            var g = GradOf(a, out var add); // dA = dSᵀ drop(x)
            var input = Dropped(out var copy);
            Gemm.Run(true, false, r, k, m, 1, ds, r, input, k, add ? 1 : 0, g.Pointer<float>(), k);
            copy?.Release();
        }
        if (NeedsGrad(x))
            AddInputGrad(ds, m, k, r);
        small.Release();
    }

    private float* HostS => shared is null ? Scratch<float>() : shared.Pointer<float>() + slot;

    private int HostPitch => shared?.Shape[^1] ?? Rank;

    // dX += drop'(dS A); the base path has written dX already.
    private void AddInputGrad(float* ds, int m, int k, int r)
    {
        var g = GradOf(x, out _).Pointer<float>();
        if (dropout.Probability == 0)
        {
            Gemm.Run(false, false, m, k, r, 1, ds, r, a.Pointer<float>(), k, 1, g, k);
            return;
        }
        var wide = x.Device.Rent((long)m * k * sizeof(float));
        var t = (float*)wide.Pointer;
        Gemm.Run(false, false, m, k, r, 1, ds, r, a.Pointer<float>(), k, 0, t, k);
        DropoutKernel.Apply(t, g, (long)m * k, dropout.Probability, dropout.Seed, dropout.Stream, accumulate: true);
        wide.Release();
    }

    private float* Dropped(out Storage? copy)
    {
        copy = null;
        if (dropout.Probability == 0)
            return x.Pointer<float>();
        copy = x.Device.Rent(x.ByteCount);
        var to = (float*)copy.Pointer;
        DropoutKernel.Apply(x.Pointer<float>(), to, x.Count, dropout.Probability, dropout.Seed, dropout.Stream);
        return to;
    }
}
