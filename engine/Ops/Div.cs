using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>a / b elementwise with broadcast, F32 or BF16; BF16 if one is.</summary>
    public static Tensor Div(this Tensor a, Tensor b) =>
        new DivOp(a, b).Run(Broadcast.Of("div", a, b), Broadcast.TypeOf(a, b));
}

internal sealed unsafe class DivOp : BinaryOp
{
    public DivOp(Tensor a, Tensor b)
        : base("div", a, b) => Save(b);

    protected override void ForwardCpu(Tensor y)
    {
        BinaryKernel.Div(Plan(y.Shape, A, B), A.Pointer<float>(), B.Pointer<float>(), y.Pointer<float>());
        if (NeedsGrad(B))
            Save(y);
    }

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        if (NeedsGrad(A))
            Reduce(A, dy.Shape, (dy, B), &Quotient);
        if (!NeedsGrad(B))
            return;
        var product = dy.Device.Rent(dy.ByteCount); // dy y; db = -dy y / b
        BinaryKernel.Mul(Plan(dy.Shape, dy, y), dy.Pointer<float>(), y.Pointer<float>(), (float*)product.Pointer);
        Reduce(B, dy.Shape, (dy.Shape, B, (nint)product.Pointer), &NegatedQuotient);
        product.Release();
    }

    protected override void ForwardCuda(Tensor y)
    {
        ForwardCuda(y, ElementwiseOp.Quotient);
        if (NeedsGrad(B))
            Save(y);
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        if (NeedsGrad(A))
            ReduceCuda(A, dy.Shape, ElementwiseOp.Quotient, 1, OperandOf(dy), B);
        if (!NeedsGrad(B))
            return;
        var product = dy.Device.Rent(Math.Max(1, dy.Count) * sizeof(float)); // dy y; db = -dy y / b
        var terms = new Operand(product.DeviceAddress, Bf16: false);
        Elementwise.Binary(
            Stream(dy), ElementwiseOp.Product, 1, Plan(dy.Shape, dy, y), OperandOf(dy), OperandOf(y), terms);
        ReduceCuda(B, dy.Shape, ElementwiseOp.Quotient, -1, terms, B);
        product.Release();
    }

    private static void Quotient((Tensor Dy, Tensor Divisor) state, float* to, bool add) =>
        BinaryKernel.Div(
            Plan(state.Dy.Shape, state.Dy, state.Divisor),
            state.Dy.Pointer<float>(), state.Divisor.Pointer<float>(), to, add);

    private static void NegatedQuotient((Shape Shape, Tensor Divisor, nint Product) state, float* to, bool add) =>
        BinaryKernel.NegDiv(
            BroadcastPlan.Create(state.Shape.Dims, state.Shape.Dims, state.Divisor.Shape.Dims),
            (float*)state.Product, state.Divisor.Pointer<float>(), to, add);
}
