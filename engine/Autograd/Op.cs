using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Engine;

/// <summary>Which half of an op an <see cref="IOpObserver"/> sees.</summary>
public enum OpPhase
{
    /// <summary>Computing the output.</summary>
    Forward,

    /// <summary>Computing the inputs' gradients.</summary>
    Backward,
}

/// <summary>Watches every op that runs: timing, tracing, counting.</summary>
public interface IOpObserver
{
    /// <summary>Called before an op's body runs.</summary>
    void Before(Op op, OpPhase phase);

    /// <summary>Called after an op's body ran.</summary>
    void After(Op op, OpPhase phase);
}

/// <summary>
/// One application of an operation. The object holds the inputs and what backward needs, and is itself the node of
/// the autograd graph. <see cref="Run(Tensor)"/> and <see cref="RunBackward"/> are the only places where bodies are
/// called.
/// </summary>
public abstract unsafe class Op
{
    private protected const int MaxInputs = 8;
    // LoraDownOp: x, and of each of three layers A, W0 and dY.
    private const int MaxSaved = 10;

    [ThreadStatic]
    private static long lastOrder;

    private Inputs inputs;
    private Kept saved;
    private Storage? scratch;
    private int inputCount;
    private int savedCount;

    /// <summary>A node over its inputs; null inputs (an absent bias) are left out.</summary>
    protected Op(
        string name, Tensor? a, Tensor? b = null, Tensor? c = null, Tensor? d = null, Tensor? e = null,
        Tensor? f = null)
    {
        Name = name;
        Add(a);
        Add(b);
        Add(c);
        Add(d);
        Add(e);
        Add(f);
        TrackIfNeeded();
    }

    /// <summary>Called around every op on every thread when set.</summary>
    public static IOpObserver? Observer { get; set; }

    /// <summary>Snake-case name, as in messages.</summary>
    public string Name { get; }

    /// <summary>Number of tensor inputs.</summary>
    public int InputCount => inputCount;

    /// <summary>True when backward will visit this node.</summary>
    public bool Tracking { get; protected set; }

    internal Tensor? Output { get; private set; }

    internal long Order { get; private set; }

    internal long Visit { get; set; }

    /// <summary>Tensors kept alive for backward, for tests of what is not kept.</summary>
    internal int SavedCount => savedCount;

    /// <summary>Input <paramref name="i"/>; its memory may be gone unless it was saved.</summary>
    public Tensor Input(int i) => inputs[i]!;

    /// <summary>Computes <paramref name="y"/> on the CPU.</summary>
    protected abstract void ForwardCpu(Tensor y);

    /// <summary>
    /// Adds to the gradients of the inputs that want one, given the gradient of <paramref name="y"/>.
    /// </summary>
    protected abstract void BackwardCpu(Tensor y, Tensor dy);

    /// <summary>Queues the computation of <paramref name="y"/> on a CUDA device.</summary>
    protected abstract void ForwardCuda(Tensor y);

    /// <summary>As <see cref="BackwardCpu"/>, queued on a CUDA device.</summary>
    protected abstract void BackwardCuda(Tensor y, Tensor dy);

    /// <summary>
    /// Makes the output, of the first input's type if that is BF16 and of F32 otherwise, runs the body and links the
    /// graph.
    /// </summary>
    public Tensor Run(Shape shape) => Run(shape, inputs[0]!.DType == DType.BF16 ? DType.BF16 : DType.F32);

    /// <summary>Makes the output, runs the body and links the graph.</summary>
    public Tensor Run(Shape shape, DType dtype) => Run(Tensor.Empty(shape, dtype, inputs[0]!.Device));

    /// <summary>Runs the body into <paramref name="y"/>, which may be a view of an input.</summary>
    public Tensor Run(Tensor y)
    {
        var device = inputs[0]!.Device;
        for (var i = 1; i < inputCount; i++)
        {
            if (inputs[i]!.Device != device)
                throw new ArgumentException(
                    $"[{Name}] inputs must be on one device, but got {device.Name} and {inputs[i]!.Device.Name}");
        }
        var observer = Observer;
        observer?.Before(this, OpPhase.Forward);
        if (device.Kind == DeviceKind.Cpu)
            ForwardCpu(y);
        else
            ForwardCuda(y);
        observer?.After(this, OpPhase.Forward);
        if (Tracking)
            Link(y);
        else
            Drop();
        return y;
    }

    internal void RunBackward(Tensor y, Tensor dy)
    {
        var observer = Observer;
        observer?.Before(this, OpPhase.Backward);
        if (dy.Device.Kind == DeviceKind.Cpu)
            BackwardCpu(y, dy);
        else
            BackwardCuda(y, dy);
        observer?.After(this, OpPhase.Backward);
    }

    /// <summary>Releases what was kept for backward and unlinks the node.</summary>
    internal void Drop()
    {
        for (var i = 0; i < savedCount; i++)
        {
            saved[i]!.Release();
            saved[i] = null;
        }
        savedCount = 0;
        scratch?.Release();
        scratch = null;
        Output = null;
        for (var i = 0; i < inputCount; i++)
            inputs[i] = null;
        inputCount = 0;
    }

    /// <summary>
    /// True when <paramref name="input"/> wants a gradient; backward does nothing at all for the others.
    /// </summary>
    protected static bool NeedsGrad(Tensor? input) => input is { RequiresGrad: true };

    /// <summary>The stream of a tensor on a CUDA device.</summary>
    protected static CudaStream Stream(Tensor tensor) => ((CudaDevice)tensor.Device).Stream;

    /// <summary>
    /// Keeps <paramref name="tensor"/>'s memory until backward; does nothing when no backward will come.
    /// </summary>
    protected void Save(Tensor tensor)
    {
        if (!Tracking)
            return;
        tensor.Retain();
        saved[savedCount++] = tensor;
    }

    /// <summary>
    /// Pooled memory that lives until backward is over: statistics the forward body hands to backward.
    /// </summary>
    protected T* RentScratch<T>(long count)
        where T : unmanaged
    {
        scratch = inputs[0]!.Device.Rent(count * sizeof(T));
        return (T*)scratch.Pointer;
    }

    /// <summary><see cref="RentScratch{T}"/> as kernels take it.</summary>
    protected DevicePointer<T> RentDevice<T>(long count)
        where T : unmanaged => new((ulong)RentScratch<T>(count));

    /// <summary>The memory of <see cref="RentDevice{T}"/>.</summary>
    protected DevicePointer<T> ScratchDevice<T>()
        where T : unmanaged => new(scratch!.DeviceAddress);

    /// <summary>The memory of <see cref="RentScratch{T}"/>.</summary>
    protected T* Scratch<T>()
        where T : unmanaged => (T*)scratch!.Pointer;

    /// <summary>
    /// Gradient buffer of <paramref name="input"/>: add to it when <paramref name="accumulate"/>, else overwrite.
    /// </summary>
    protected static Tensor GradOf(Tensor input, out bool accumulate) => input.GradForWrite(out accumulate);

    /// <summary>Passes <paramref name="dy"/> on as the gradient of an input with the same number of elements.</summary>
    protected static void PassGrad(Tensor input, Tensor dy)
    {
        if (!NeedsGrad(input) || input.TryAdoptGrad(dy))
            return;
        var g = input.GradForWrite(out var accumulate);
        if (accumulate)
            AddInto(g, dy);
        else if (g.DType != dy.DType)
            Elementwise.Scale(Stream(g), OperandOf(dy), 1, OperandOf(g), g.Count, false);
        else
            g.Device.Copy(dy.Address, g.Address, dy.ByteCount);
    }

    /// <summary>A tensor as an operand of elementwise kernels.</summary>
    private protected static Operand OperandOf(Tensor tensor) =>
        new(tensor.DeviceAddress, tensor.DType == DType.BF16);

    /// <summary>g += dy.</summary>
    internal static void AddInto(Tensor g, Tensor dy)
    {
        if (g.Device.Kind == DeviceKind.Cuda)
        {
            Elementwise.Scale(Stream(g), OperandOf(dy), 1, OperandOf(g), g.Count, true);
            return;
        }
        var sum = MemoryMarshal.Cast<float, Vector<float>>(g.Span<float>());
        var term = MemoryMarshal.Cast<float, Vector<float>>(dy.Span<float>());
        for (var i = 0; i < sum.Length; i++)
            sum[i] += term[i];
        var rest = sum.Length * Vector<float>.Count;
        for (var i = rest; i < g.Count; i++)
            g.Pointer<float>()[i] += dy.Pointer<float>()[i];
    }

    private void Link(Tensor y)
    {
        y.RequiresGrad = true;
        y.Producer = this;
        Output = y;
        Order = ++lastOrder;
    }

    /// <summary>Decides <see cref="Tracking"/> once all inputs are known.</summary>
    protected void TrackIfNeeded() => Tracking = GradMode.Enabled && AnyInputRequiresGrad();

    private bool AnyInputRequiresGrad()
    {
        for (var i = 0; i < inputCount; i++)
        {
            if (inputs[i]!.RequiresGrad)
                return true;
        }
        return false;
    }

    /// <summary>Takes another input; null is left out.</summary>
    protected void Add(Tensor? input)
    {
        if (input is null)
            return;
        if (inputCount == MaxInputs)
            throw new ArgumentException($"[{Name}] at most {MaxInputs} inputs expected");
        inputs[inputCount++] = input;
    }

    [InlineArray(MaxInputs)]
    private struct Inputs
    {
        private Tensor? first;
    }

    [InlineArray(MaxSaved)]
    private struct Kept
    {
        private Tensor? first;
    }
}
