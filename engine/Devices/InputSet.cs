using CudaLora.Kernels.Runtime;

namespace CudaLora.Engine;

/// <summary>
/// Named tensors that the host writes before every repetition of a computation. On CUDA a shape that comes again has
/// the same addresses again, so that the computation can be a captured graph; values go through pinned memory on the
/// copy stream, while earlier work still runs. On the CPU they are tensors of the current scope.
/// </summary>
/// <param name="device">Where the tensors are.</param>
public sealed class InputSet(Device device) : IDisposable
{
    private readonly Dictionary<string, Tensor> present = new(StringComparer.Ordinal);
    private readonly Dictionary<(string, Shape), Slot> slots = [];
    private CudaEvent? copied;
    private CudaEvent? used;

    /// <summary>Where the tensors are.</summary>
    public Device Device => device;

    /// <summary>
    /// Lengths that differ from batch to batch are best rounded up to a multiple of this, so that few shapes occur: 1
    /// where a shape costs nothing.
    /// </summary>
    public int Multiple => device.Kind == DeviceKind.Cuda ? 64 : 1;

    /// <summary>The tensor written under a name since <see cref="Begin"/>.</summary>
    public Tensor this[string name] => present.TryGetValue(name, out var tensor)
        ? tensor
        : throw new ArgumentException($"[input_set] name must be one that was set, but got {name}");

    /// <summary>The tensor of a name, or null when it was not set.</summary>
    public Tensor? Find(string name) => present.GetValueOrDefault(name);

    /// <summary>The names and shapes set: equal keys mean the same addresses.</summary>
    public string Key => string.Join(' ', present.Select(pair => $"{pair.Key}{pair.Value.Shape}"));

    /// <summary>Starts writing; what was set before is forgotten.</summary>
    public void Begin()
    {
        present.Clear();
        if (device is not CudaDevice cuda)
            return;
        // Neither the pinned bytes nor the tensors may change under an earlier use.
        copied?.Synchronize();
        if (used is not null)
            cuda.CopyStream.Wait(used);
    }

    /// <summary>Writes I32 values.</summary>
    public void Set(string name, ReadOnlySpan<int> values, Shape shape) => Set(name, values, shape, DType.I32);

    /// <summary>Writes F32 values.</summary>
    public void Set(string name, ReadOnlySpan<float> values, Shape shape) => Set(name, values, shape, DType.F32);

    /// <summary>Ends writing: later work on the device sees the values.</summary>
    public void Commit()
    {
        if (device is not CudaDevice cuda)
            return;
        copied ??= new CudaEvent(cuda.Context, timing: false);
        copied.Record(cuda.CopyStream);
        cuda.Stream.Wait(copied);
    }

    /// <summary>Says that the work that reads the values has been queued.</summary>
    public void Used()
    {
        if (device is not CudaDevice cuda)
            return;
        used ??= new CudaEvent(cuda.Context, timing: false);
        used.Record(cuda.Stream);
    }

    /// <summary>Releases the tensors.</summary>
    public void Dispose()
    {
        copied?.Synchronize();
        copied?.Dispose();
        used?.Dispose();
        foreach (var slot in slots.Values)
            slot.Dispose();
        slots.Clear();
        present.Clear();
    }

    private void Set<T>(string name, ReadOnlySpan<T> values, Shape shape, DType dtype)
        where T : unmanaged
    {
        if (values.Length != shape.Count)
            throw new ArgumentException($"[input_set] {name} must have {shape.Count} values, but got {values.Length}");
        if (device is not CudaDevice cuda)
        {
            var tensor = Tensor.Empty(shape, dtype, device);
            values.CopyTo(tensor.Span<T>());
            present[name] = tensor;
            return;
        }
        if (!slots.TryGetValue((name, shape), out var slot))
            slots.Add((name, shape), slot = new Slot(cuda, shape, dtype));
        present[name] = slot.Write(cuda, values);
    }

    private sealed class Slot(CudaDevice device, Shape shape, DType dtype) : IDisposable
    {
        private readonly Tensor tensor = Tensor.Owned(shape, dtype, device);
        private readonly PinnedBuffer<byte> pinned = new(device.Context, (int)shape.Count * dtype.Size());

        public Tensor Write<T>(CudaDevice cuda, ReadOnlySpan<T> values)
            where T : unmanaged
        {
            System.Runtime.InteropServices.MemoryMarshal.AsBytes(values).CopyTo(pinned.Span);
            cuda.CopyStream.Upload<byte>(pinned.Span, new DevicePointer<byte>(tensor.DeviceAddress));
            return tensor;
        }

        public void Dispose()
        {
            tensor.Dispose();
            pinned.Dispose();
        }
    }
}
