using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>
/// AdamW with the arithmetic of torch.optim.AdamW (Loshchilov and Hutter 2017, arXiv 1711.05101): decoupled weight
/// decay, bias correction, no amsgrad. Moments are F32, or 8-bit codes (Dettmers et al. 2021, arXiv 2110.02861).
/// </summary>
public sealed class AdamW : IDisposable
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
    /// <param name="pageBytes">
    /// Above 0, on a CUDA device: moments live in pinned host memory, and three pages of so many bytes of them at a
    /// time on the device; see <see cref="DefaultPageBytes"/>. The update is the same to the bit. On the CPU moments
    /// are in host memory as it is.
    /// </param>
    /// <exception cref="ArgumentException">
    /// A beta outside [0, 1), a negative epsilon, or a parameter in two groups.
    /// </exception>
    /// <exception cref="DeviceMemoryException">The moments do not fit; nothing is held.</exception>
    public AdamW(
        IReadOnlyList<ParameterGroup> groups, double beta1 = 0.9, double beta2 = 0.999, double epsilon = 1e-8,
        bool eightBit = false, long pageBytes = 0)
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
                    made.Add(new Slot(group, parameter, new Moments(parameter, eightBit)));
            }
        }
        slots = [.. made];
        try
        {
            if (made.Count > 0 && made[0].Parameter.Value.Device is CudaDevice device)
            {
                cuda = OnCuda(device, pageBytes);
                return;
            }
            foreach (var slot in slots)
                slot.Moments.Place(slot.Parameter.Value.Device);
        }
        catch
        {
            // Moments that do not fit: the caller may go on with smaller ones.
            Dispose();
            throw;
        }
    }

    /// <summary>An optimiser of one group of parameters.</summary>
    public AdamW(IEnumerable<Parameter> parameters, double learningRate, double weightDecay = 0)
        : this([new ParameterGroup(parameters, learningRate, weightDecay)])
    {
    }

    /// <summary>
    /// Bytes of a page that take a bus of 25 GB/s a third of a millisecond: long beside the start of a copy, small
    /// beside a model.
    /// </summary>
    public const long DefaultPageBytes = 8 << 20;

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

    /// <summary>Marks all gradients as zero; paged moments start on their way to the device.</summary>
    public void ZeroGrad()
    {
        cuda?.Prefetch();
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
            cuda.QueueStep(maxNorm: null);
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
            slot.Moments.Step(value, gradient, step);
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
            cuda.QueueStep(maxNorm);
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
    /// in 8 bits with <c>.absmax</c> besides; paged ones are in host memory. Write them to a checkpoint, or fill them
    /// from one, before the next <see cref="ZeroGrad"/>.
    /// </summary>
    public IEnumerable<(string Name, Tensor Value)> State()
    {
        cuda?.Settle();
        return slots.SelectMany(slot => slot.Moments.State());
    }

    /// <summary>Releases the moments; the parameters stay.</summary>
    public void Dispose()
    {
        cuda?.Dispose();
        foreach (var slot in slots)
            slot.Moments.Dispose();
    }

    private CudaAdamW OnCuda(CudaDevice device, long pageBytes)
    {
        foreach (var slot in slots)
        {
            var value = slot.Parameter.Value;
            if (value.Device != device || value.DType != DType.F32)
                throw new ArgumentException(
                    $"[adamw] parameters must be F32 on one device, but got {value.DType} on {value.Device.Name} "
                    + $"({slot.Parameter.Path})");
        }
        var groups = Groups.ToList();
        return new CudaAdamW(
            this, device, [.. slots.Select(s => (s.Parameter, groups.IndexOf(s.Group), s.Moments))], pageBytes);
    }

    private sealed record Slot(ParameterGroup Group, Parameter Parameter, Moments Moments);
}
