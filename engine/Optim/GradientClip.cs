using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>Clipping by the global L2 norm, as torch.nn.utils.clip_grad_norm_.</summary>
public static unsafe class GradientClip
{
    /// <summary>L2 norm over all gradients of the trainable parameters, summed in their order.</summary>
    public static double Norm(IReadOnlyList<ParameterGroup> groups)
    {
        double squares = 0;
        for (var g = 0; g < groups.Count; g++)
        {
            var parameters = groups[g].Parameters;
            for (var i = 0; i < parameters.Count; i++)
            {
                if (parameters[i].Trainable && parameters[i].Value.Grad is { } gradient)
                    squares += Squares(gradient);
            }
        }
        return Math.Sqrt(squares);
    }

    private static double Squares(Tensor gradient)
    {
        if (gradient.Device.Kind == DeviceKind.Cpu)
            return SumKernel.Squares(gradient.Pointer<float>(), gradient.Count);
        using var scope = TensorScope.Begin();
        using var mode = GradMode.NoGrad();
        return gradient.Mul(gradient).Sum().Item();
    }

    /// <summary>
    /// Factor that brings a gradient of this norm down to <paramref name="maxNorm"/>: min(1, maxNorm / (norm + 1e-6)).
    /// 1 when maxNorm is 0, which switches clipping off.
    /// </summary>
    public static double Scale(double norm, double maxNorm) =>
        maxNorm > 0 ? Math.Min(1, maxNorm / (norm + 1e-6)) : 1;
}
