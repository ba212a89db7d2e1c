namespace CudaLora.Engine;

public sealed unsafe partial class Tensor
{
    /// <summary>a + b with broadcast: <see cref="TensorOps.Add"/>.</summary>
    public static Tensor operator +(Tensor a, Tensor b) => a.Add(b);

    /// <summary>a - b with broadcast: <see cref="TensorOps.Sub"/>.</summary>
    public static Tensor operator -(Tensor a, Tensor b) => a.Sub(b);

    /// <summary>a b elementwise with broadcast: <see cref="TensorOps.Mul"/>.</summary>
    public static Tensor operator *(Tensor a, Tensor b) => a.Mul(b);

    /// <summary>a / b elementwise with broadcast: <see cref="TensorOps.Div"/>.</summary>
    public static Tensor operator /(Tensor a, Tensor b) => a.Div(b);

    /// <summary>x times a constant: <see cref="TensorOps.Scale"/>.</summary>
    public static Tensor operator *(Tensor x, float factor) => x.Scale(factor);

    /// <summary>x times a constant: <see cref="TensorOps.Scale"/>.</summary>
    public static Tensor operator *(float factor, Tensor x) => x.Scale(factor);

    /// <summary>-x.</summary>
    public static Tensor operator -(Tensor x) => x.Scale(-1);
}
