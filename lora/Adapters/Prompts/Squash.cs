using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Sigmoid, tanh and ReLU out of the ops there are: the encoders of prompts are a few thousand values, so that kernels
/// of their own would gain nothing.
/// </summary>
internal static class Squash
{
    /// <summary>1 / (1 + e^-x): the first of softmax(x, 0).</summary>
    public static Tensor Sigmoid(Tensor x) =>
        BesideZero(x).Softmax().Slice(1, 0, 1).Reshape(x.Shape);

    /// <summary>tanh x = 2 sigmoid(2 x) - 1.</summary>
    public static Tensor Tanh(Tensor x) => Sigmoid(x.Scale(2)).Scale(2).Sub(Constant(1, x.Device));

    /// <summary>The larger of x and 0.</summary>
    public static Tensor Relu(Tensor x) => BesideZero(x).Max(1).Reshape(x.Shape);

    private static Tensor BesideZero(Tensor x)
    {
        var column = x.Reshape(Shape.Of((int)x.Count, 1));
        return TensorOps.Concat(1, column, Tensor.Zeros(column.Shape, DType.F32, x.Device));
    }

    private static Tensor Constant(float value, Device device) => Tensor.From([value], Shape.Of(1), device);
}
