using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>
/// AdamW with the arithmetic of torch.optim.AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101): decoupled weight
/// decay, bias correction, no amsgrad. Moments are F32, or 8-bit codes (Dettmers et al. 2021, arXiv 2110.02861).
/// </summary>
public sealed unsafe class AdamW : IDisposable
{
    private readonly Slot[] slots;
    private readonly CudaAdamW? cuda;
    private double rateFactor = 1;
    private double norm;

    /// <summary>An optimiser with zero moments for every trainable parameter of the groups.</summary>
    /// <param name="groups">Parameters, each in one group.</param>
    /// <param name="beta1">Decay of the first moment.</param>
    /// <param name="beta2">Decay of the second moment.</param>
    /// <param name="epsilon">Added to the root of the second moment.</param>
    /// <param name="eightBit">Keep the moments of parameters of 4096 values and more as 8-bit codes.</param>
    /// <exception cref="ArgumentException">
    /// A beta outside [0, 1), a negative epsilon, or a parameter in two groups.
    /// </exception>
    public AdamW(
        IReadOnlyList<ParameterGroup> groups, double beta1 = 0.9, double beta2 = 0.999, double epsilon = 1e-8,
        bool eightBit = false)
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
                    made.Add(new Slot(group, parameter, eightBit));
            }
        }
        slots = [.. made];
        cuda = made.Count > 0 && made[0].Parameter.Value.Device is CudaDevice device ? OnCuda(device) : null;
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
        if (cuda is not null)
        {
            cuda.Begin(rateFactor, StepCount++, gradientScale);
            cuda.QueueStep();
            return;
        }
        Update(rateFactor, gradientScale, ++StepCount);
    }

    private void Update(double rateFactor, double gradientScale, int number)
    {
        foreach (var slot in slots)
        {
            if (!slot.Parameter.Trainable || slot.Parameter.Value.Grad is not { } gradient)
                continue;
            var value = slot.Parameter.Value;
            var step = new AdamWStep(
                slot.Group.LearningRate * rateFactor, Beta1, Beta2, Epsilon, slot.Group.WeightDecay, number,
                gradientScale);
            if (slot.Codes is { } codes)
                codes.Step(value, gradient, step);
            else
                AdamWKernel.Step(
                    value.Pointer<float>(), gradient.Pointer<float>(), slot.First!.Pointer<float>(),
                    slot.Second!.Pointer<float>(), value.Count, step);
        }
    }

    /// <summary>
    /// Starts a step whose device part can be captured as a graph: writes the rates and the number of the step. Then
    /// comes <see cref="ClipAndStep"/>, queued or replayed, then <see cref="EndStep"/>.
    /// </summary>
    /// <param name="rateFactor">Multiplier of every group's learning rate: <see cref="Schedule.At"/>.</param>
    public void BeginStep(double rateFactor)
    {
        this.rateFactor = rateFactor;
        cuda?.Begin(rateFactor, StepCount, 1);
    }

    /// <summary>
    /// Clips the gradients to a global norm and updates, as <see cref="GradientClip"/> and <see cref="Step"/> do, but
    /// on the device alone. A norm that is not finite updates nothing.
    /// </summary>
    /// <param name="maxNorm">0 clips nothing.</param>
    public void ClipAndStep(double maxNorm)
    {
        if (cuda is not null)
        {
            cuda.QueueClip(maxNorm);
            cuda.QueueStep();
            return;
        }
        norm = GradientClip.Norm(Groups);
        if (!double.IsFinite(norm))
            return;
        Update(rateFactor, GradientClip.Scale(norm, maxNorm), StepCount + 1);
    }

    /// <summary>Waits for the step, and tells the norm before clipping and whether anything was updated.</summary>
    public (double Norm, bool Updated) EndStep()
    {
        var held = !double.IsFinite(norm);
        if (cuda is not null)
            (norm, held) = cuda.End();
        if (!held)
            StepCount++;
        return (norm, !held);
    }

    /// <summary>
    /// The moments themselves, not copies, named as in PyTorch: <c>path.exp_avg</c> and <c>path.exp_avg_sq</c>; those
    /// in 8 bits with <c>.absmax</c> besides. Write them to a checkpoint, or fill them from one.
    /// </summary>
    public IEnumerable<(string Name, Tensor Value)> State()
    {
        foreach (var slot in slots)
        {
            foreach (var part in slot.State())
                yield return part;
        }
    }

    /// <summary>Releases the moments; the parameters stay.</summary>
    public void Dispose()
    {
        cuda?.Dispose();
        foreach (var slot in slots)
        {
            foreach (var (_, part) in slot.State())
                part.Dispose();
        }
    }

    private CudaAdamW OnCuda(CudaDevice device)
    {
        foreach (var slot in slots)
        {
            var value = slot.Parameter.Value;
            if (value.Device != device || value.DType != DType.F32)
                throw new ArgumentException(
                    $"[adamw] parameters must be F32 on one device, but got {value.DType} on {value.Device.Name} "
                    + $"({slot.Parameter.Path})");
            if (slot.Codes is not null)
                throw new ArgumentException($"[adamw] 8-bit moments must be on the CPU, but got {device.Name}");
        }
        var groups = Groups.ToList();
        return new CudaAdamW(
            this, device, [.. slots.Select(s => (s.Parameter, groups.IndexOf(s.Group), s.First!, s.Second!))]);
    }

    private sealed class Slot
    {
        public Slot(ParameterGroup group, Parameter parameter, bool eightBit)
        {
            (Group, Parameter) = (group, parameter);
            if (eightBit && parameter.Value.Count >= EightBitMoments.SmallestCount)
                Codes = new EightBitMoments(parameter.Value);
            else
                (First, Second) = (Zeros(parameter), Zeros(parameter));
        }

        public ParameterGroup Group { get; }

        public Parameter Parameter { get; }

        /// <summary>The moments in 8 bits, or null.</summary>
        public EightBitMoments? Codes { get; }

        /// <summary>The first moment in F32, or null.</summary>
        public Tensor? First { get; }

        /// <summary>The second moment in F32, or null.</summary>
        public Tensor? Second { get; }

        public IEnumerable<(string Name, Tensor Value)> State() => Codes?.State(Parameter.Path.Value) ??
        [
            ($"{Parameter.Path}.exp_avg", First!), ($"{Parameter.Path}.exp_avg_sq", Second!),
        ];

        // Not of any scope: moments live as long as the optimiser.
        private static Tensor Zeros(Parameter parameter)
        {
            var zeros = Tensor.Unscoped(parameter.Value.Shape, DType.F32, parameter.Value.Device);
            zeros.Clear();
            return zeros;
        }
    }
}
