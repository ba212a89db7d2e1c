using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>
/// AdamW with the arithmetic of torch.optim.AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101): decoupled weight
/// decay, bias correction, no amsgrad. Moments are F32.
/// </summary>
public sealed unsafe class AdamW : IDisposable
{
    private readonly Slot[] slots;

    /// <summary>An optimiser with zero moments for every trainable parameter of the groups.</summary>
    /// <exception cref="ArgumentException">
    /// A beta outside [0, 1), a negative epsilon, or a parameter in two groups.
    /// </exception>
    public AdamW(
        IReadOnlyList<ParameterGroup> groups, double beta1 = 0.9, double beta2 = 0.999, double epsilon = 1e-8)
    {
        if (!(beta1 is >= 0 and < 1) || !(beta2 is >= 0 and < 1))
            throw new ArgumentException($"[adamw] betas must be in [0, 1), but got {beta1} and {beta2}");
        if (!(epsilon >= 0))
            throw new ArgumentException($"[adamw] epsilon must not be negative, but got {epsilon}");
        (Groups, Beta1, Beta2, Epsilon) = (groups, beta1, beta2, epsilon);
        var seen = new HashSet<Tensor>();
        var made = new List<Slot>();
        foreach (var group in groups)
        {
            foreach (var parameter in group.Parameters)
            {
                if (!seen.Add(parameter.Value))
                    throw new ArgumentException(
                        $"[adamw] a parameter must be in one group, but got {parameter.Path} twice");
                if (parameter.Trainable)
                    made.Add(new Slot(group, parameter));
            }
        }
        slots = [.. made];
    }

    /// <summary>An optimiser of one group of parameters.</summary>
    public AdamW(IEnumerable<Parameter> parameters, double learningRate, double weightDecay = 0)
        : this([new ParameterGroup(parameters, learningRate, weightDecay)])
    {
    }

    /// <summary>The groups; their rates may be changed between steps.</summary>
    public IReadOnlyList<ParameterGroup> Groups { get; }

    /// <summary>Decay of the first moment.</summary>
    public double Beta1 { get; }

    /// <summary>Decay of the second moment.</summary>
    public double Beta2 { get; }

    /// <summary>Added to the root of the second moment.</summary>
    public double Epsilon { get; }

    /// <summary>Steps taken; set it together with <see cref="State"/> to resume.</summary>
    public int StepCount { get; set; }

    /// <summary>Marks all gradients as zero.</summary>
    public void ZeroGrad()
    {
        foreach (var slot in slots)
            slot.Parameter.Value.ZeroGrad();
    }

    /// <summary>
    /// One update of every parameter that is trainable and has a gradient, in place.
    /// </summary>
    /// <param name="rateFactor">Multiplier of every group's learning rate: <see cref="Schedule.At"/>.</param>
    /// <param name="gradientScale">Multiplier of every gradient: <see cref="GradientClip.Scale"/>.</param>
    public void Step(double rateFactor = 1, double gradientScale = 1)
    {
        StepCount++;
        foreach (var slot in slots)
        {
            if (!slot.Parameter.Trainable || slot.Parameter.Value.Grad is not { } gradient)
                continue;
            var value = slot.Parameter.Value;
            var step = new AdamWStep(
                slot.Group.LearningRate * rateFactor, Beta1, Beta2, Epsilon, slot.Group.WeightDecay, StepCount,
                gradientScale);
            AdamWKernel.Step(
                value.Pointer<float>(), gradient.Pointer<float>(), slot.First.Pointer<float>(),
                slot.Second.Pointer<float>(), value.Count, step);
        }
    }

    /// <summary>
    /// The moments themselves, not copies, named as in PyTorch: <c>path.exp_avg</c> and <c>path.exp_avg_sq</c>. Write
    /// them to a checkpoint, or fill them from one.
    /// </summary>
    public IEnumerable<(string Name, Tensor Value)> State()
    {
        foreach (var slot in slots)
        {
            yield return ($"{slot.Parameter.Path}.exp_avg", slot.First);
            yield return ($"{slot.Parameter.Path}.exp_avg_sq", slot.Second);
        }
    }

    /// <summary>Releases the moments; the parameters stay.</summary>
    public void Dispose()
    {
        foreach (var slot in slots)
        {
            slot.First.Dispose();
            slot.Second.Dispose();
        }
    }

    private sealed class Slot(ParameterGroup group, Parameter parameter)
    {
        public ParameterGroup Group { get; } = group;

        public Parameter Parameter { get; } = parameter;

        public Tensor First { get; } = Zeros(parameter);

        public Tensor Second { get; } = Zeros(parameter);

        // Not of any scope: moments live as long as the optimiser.
        private static Tensor Zeros(Parameter parameter)
        {
            var zeros = Tensor.Unscoped(parameter.Value.Shape, DType.F32, parameter.Value.Device);
            zeros.Clear();
            return zeros;
        }
    }
}
