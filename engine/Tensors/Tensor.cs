using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Engine;

/// <summary>
/// A contiguous row-major array on a device, and a place in the autograd graph. Operations are extension methods of
/// <see cref="TensorOps"/>. A tensor made inside a <see cref="TensorScope"/> is released with it; outside one, the
/// maker disposes it.
/// </summary>
public sealed unsafe partial class Tensor : IDisposable
{
    private Storage? storage;
    private long offset;
    private int references = 1;
    private bool disposed;
    private bool gradIsStale;
    private Tensor? grad;

    private Tensor(Storage storage, long offset, Shape shape, DType dtype)
    {
        this.storage = storage;
        this.offset = offset;
        Shape = shape;
        DType = dtype;
    }

    /// <summary>Extents, outermost first.</summary>
    public Shape Shape { get; private set; }

    /// <summary>Element type.</summary>
    public DType DType { get; private set; }

    /// <summary>Number of elements.</summary>
    public long Count => Shape.Count;

    /// <summary>Bytes of the elements.</summary>
    public long ByteCount => Shape.Count * DType.Size();

    /// <summary>The device that holds the memory.</summary>
    public Device Device => Memory.Device;

    /// <summary>Name for messages and logs: the parameter path, for a parameter.</summary>
    public string? Name { get; set; }

    /// <summary>
    /// True when a gradient flows to this tensor. Set it on a leaf (F32) to train it; results of ops on such tensors
    /// have it set.
    /// </summary>
    public bool RequiresGrad { get; set; }

    /// <summary>
    /// Gradient of a leaf, same shape, F32, on CUDA BF16 for a BF16 tensor; backward adds to it. Null before the first
    /// backward.
    /// </summary>
    public Tensor? Grad
    {
        get
        {
            if (gradIsStale && grad is not null)
            {
                grad.Clear();
                gradIsStale = false;
            }
            return grad;
        }
    }

    // The CPU computes in F32 whatever it stores; half precision has too small a range for gradients anywhere.
    private DType GradType => DType == DType.BF16 && Device.Kind == DeviceKind.Cuda ? DType.BF16 : DType.F32;

    internal Op? Producer { get; set; }

    internal TensorScope? Scope { get; set; }

    internal bool IsLeaf => Producer is null;

    internal Storage Memory => storage ?? throw new ObjectDisposedException(
        Name ?? "tensor", $"[tensor] used after its release (shape {Shape}): keep it with TensorScope.Keep");

    /// <summary>A new tensor with undefined contents.</summary>
    public static Tensor Empty(Shape shape, DType dtype = DType.F32, Device? device = null)
    {
        var tensor = Unscoped(shape, dtype, device ?? Device.Default);
        TensorScope.Current?.Add(tensor);
        return tensor;
    }

    /// <summary>A new tensor of zeros.</summary>
    public static Tensor Zeros(Shape shape, DType dtype = DType.F32, Device? device = null)
    {
        var tensor = Empty(shape, dtype, device);
        tensor.Clear();
        return tensor;
    }

    /// <summary>A new tensor with undefined contents that no scope releases: its maker does.</summary>
    public static Tensor Owned(Shape shape, DType dtype = DType.F32, Device? device = null) =>
        Unscoped(shape, dtype, device ?? Device.Default);

    /// <summary>A copy of host values, F32.</summary>
    public static Tensor From(ReadOnlySpan<float> values, Shape shape, Device? device = null) =>
        FromBytes(MemoryMarshal.AsBytes(values), values.Length, shape, DType.F32, device);

    /// <summary>A copy of a table of host values, F32: (rows, columns).</summary>
    public static Tensor From(float[,] values, Device? device = null) =>
        From(
            MemoryMarshal.CreateReadOnlySpan(
                ref Unsafe.As<byte, float>(ref MemoryMarshal.GetArrayDataReference(values)), values.Length),
            Shape.Of(values.GetLength(0), values.GetLength(1)), device);

    /// <summary>A copy of host values, I32.</summary>
    public static Tensor From(ReadOnlySpan<int> values, Shape shape, Device? device = null) =>
        FromBytes(MemoryMarshal.AsBytes(values), values.Length, shape, DType.I32, device);

    /// <summary>The elements, for reading and writing in place; the tensor must be on the CPU.</summary>
    public Span<T> Span<T>()
        where T : unmanaged => new(Pointer<T>(), checked((int)Count));

    /// <summary>Address of the first element in host memory; the tensor must be on the CPU.</summary>
    public T* Pointer<T>()
        where T : unmanaged
    {
        if (sizeof(T) != DType.Size())
            ThrowElementSize(sizeof(T));
        if (Memory.Device.Kind != DeviceKind.Cpu)
            ThrowNotOnHost();
        return (T*)((byte*)Memory.Pointer + offset);
    }

    /// <summary>Sets every element to zero.</summary>
    public void Clear() => Device.Clear(Address, ByteCount);

    /// <summary>Sets every element of an F32 tensor.</summary>
    public void Fill(float value)
    {
        RequireF32("fill", this);
        Device.Fill(Address, value, Count);
    }

    /// <summary>Adds a tensor of the same shape and dtype to this one, outside the graph.</summary>
    public void AddInPlace(Tensor term)
    {
        if (term.Shape != Shape || term.DType != DType || term.Device != Device)
            throw new ArgumentException($"[add_in_place] terms must be alike, but got {this} and {term}");
        Op.AddInto(this, term);
    }

    /// <summary>A tensor on the same memory that no gradient flows through.</summary>
    public Tensor Detach() => View(Shape);

    /// <summary>Marks the gradient as zero; the next backward overwrites it.</summary>
    public void ZeroGrad() => gradIsStale = true;

    /// <summary>Releases the gradient's memory.</summary>
    public void ReleaseGrad()
    {
        grad?.Dispose();
        grad = null;
    }

    /// <summary>
    /// Gives up the caller's hold; the memory goes back to the pool once backward no longer needs it.
    /// </summary>
    public void Dispose()
    {
        if (disposed)
            return;
        disposed = true;
        Release();
    }

    /// <summary>Shape and dtype, for messages.</summary>
    public override string ToString() => $"{Name ?? "tensor"} {DType} {Shape}";

    internal byte* Address
    {
        get
        {
            if (pitch != 0)
                ThrowHasRoom();
            return (byte*)Memory.Pointer + offset;
        }
    }

    /// <summary>Address of the first element, as kernels take it.</summary>
    internal ulong DeviceAddress => (ulong)Address;

    /// <summary>Address of the first element, typed.</summary>
    internal DevicePointer<T> OnDevice<T>()
        where T : unmanaged => new((ulong)Address);

    internal static Tensor Unscoped(Shape shape, DType dtype, Device device) =>
        new(device.Rent(Math.Max(1, shape.Count) * dtype.Size()), 0, shape, dtype);

    /// <summary>A tensor within a block, which stays alive with it; no scope releases it.</summary>
    internal static Tensor Within(Storage block, long byteOffset, Shape shape, DType dtype)
    {
        block.Retain();
        return new Tensor(block, byteOffset, shape, dtype);
    }

    /// <summary>A tensor on the same memory from <paramref name="byteOffset"/> on, not part of the graph.</summary>
    internal Tensor View(Shape shape, long byteOffset = 0)
    {
        var view = UnscopedView(shape, byteOffset);
        TensorScope.Current?.Add(view);
        return view;
    }

    internal Tensor UnscopedView(Shape shape, long byteOffset = 0)
    {
        if (pitch != 0)
            ThrowHasRoom();
        Memory.Retain();
        return new Tensor(Memory, offset + byteOffset, shape, DType);
    }

    /// <summary>F32 on every device; BF16 where kernels compute on it.</summary>
    internal static void RequireFloat(string op, Tensor x)
    {
        if (x.DType != DType.BF16 || x.Device.Kind != DeviceKind.Cuda)
            RequireF32(op, x);
    }

    internal static void RequireF32(string op, Tensor x)
    {
        if (x.DType != DType.F32)
            throw new ArgumentException($"[{op}] dtype must be F32, but got {x.DType} ({x.Name ?? "x"} {x.Shape})");
    }

    internal void Retain() => references++;

    internal void Release()
    {
        if (--references == 0)
            Free();
    }

    /// <summary>Lets go of the memory whoever still holds the object: the end of a scope.</summary>
    internal void Free()
    {
        Producer?.Drop();
        Producer = null;
        Scope = null;
        disposed = true;
        storage?.Release();
        storage = null;
        ReleaseGrad();
    }

    /// <summary>The gradient to write (<paramref name="accumulate"/> false) or to add to (true).</summary>
    internal Tensor GradForWrite(out bool accumulate)
    {
        if (grad is null)
        {
            grad = IsLeaf ? Unscoped(Shape, GradType, Device) : Recycled(Device, Shape, GradType);
            accumulate = false;
        }
        else
        {
            accumulate = !gradIsStale;
            if (accumulate && grad.Memory.IsShared)
                grad.Unshare();
        }
        gradIsStale = false;
        return grad;
    }

    /// <summary>
    /// Takes <paramref name="dy"/>'s memory as the gradient, without a copy. False when there is one already.
    /// </summary>
    internal bool TryAdoptGrad(Tensor dy)
    {
        if (grad is not null || IsLeaf || dy.DType != GradType)
            return false;
        dy.Memory.Retain();
        grad = Handle(dy.Memory, dy.offset, Shape, GradType);
        gradIsStale = false;
        return true;
    }

    internal Tensor? TakeGrad()
    {
        var taken = grad;
        grad = null;
        return taken;
    }

    /// <summary>
    /// Releases a gradient that came from <see cref="TakeGrad"/> and keeps its handle for the next one.
    /// </summary>
    internal void Recycle()
    {
        storage?.Release();
        storage = null;
        (handles ??= new Stack<Tensor>()).Push(this);
    }

    [ThreadStatic]
    private static Stack<Tensor>? handles;

    private static Tensor Recycled(Device device, Shape shape, DType dtype) =>
        Handle(device.Rent(Math.Max(1, shape.Count) * dtype.Size()), 0, shape, dtype);

    private static Tensor Handle(Storage storage, long offset, Shape shape, DType dtype)
    {
        if (handles is not { Count: > 0 })
            return new Tensor(storage, offset, shape, dtype);
        var tensor = handles.Pop();
        tensor.storage = storage;
        tensor.offset = offset;
        tensor.Shape = shape;
        tensor.DType = dtype;
        tensor.pitch = 0;
        tensor.references = 1;
        tensor.disposed = false;
        return tensor;
    }

    private void Unshare()
    {
        var own = Device.Rent(ByteCount);
        Device.Copy(Address, own.Pointer, ByteCount);
        storage!.Release();
        storage = own;
        offset = 0;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void ThrowNotOnHost() => throw new InvalidOperationException(
        $"[tensor] elements must be in host memory, but {this} is on {Device.Name}: copy with ToArray or To(Device.Cpu)");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void ThrowElementSize(int size) => throw new InvalidOperationException(
        $"[tensor] element size must be {DType.Size()} for {DType}, but got {size} (shape {Shape})");
}
