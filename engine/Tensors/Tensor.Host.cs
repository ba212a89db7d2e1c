using System.Runtime.InteropServices;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

// Copies between the host and the tensor's device, and between devices.
public sealed unsafe partial class Tensor
{
    /// <summary>The elements of an F32 or BF16 tensor copied to the host as F32.</summary>
    public float[] ToArray()
    {
        if (HasAdapterRoom)
        {
            using var dense = Dense();
            return dense.ToArray();
        }
        var values = new float[Count];
        if (DType == DType.BF16)
        {
            var halves = new ushort[Count];
            Device.CopyToHost(Address, MemoryMarshal.AsBytes(halves.AsSpan()));
            fixed (ushort* from = halves)
            fixed (float* to = values)
                CastKernel.FromBFloat16(from, to, halves.Length);
            return values;
        }
        RequireF32("to_array", this);
        Device.CopyToHost(Address, MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }

    /// <summary>The elements copied to the host as they are: the tensor's dtype has the size of T.</summary>
    public void CopyTo<T>(Span<T> destination)
        where T : unmanaged
    {
        if (sizeof(T) != DType.Size() || destination.Length != Count)
            throw new ArgumentException(
                $"[copy_to] {Count} {DType} values expected, but got room for {destination.Length} of {sizeof(T)} B");
        if (HasAdapterRoom)
        {
            using var dense = Dense();
            dense.CopyTo(destination);
            return;
        }
        Device.CopyToHost(Address, MemoryMarshal.AsBytes(destination));
    }

    /// <summary>The elements of an F32 or BF16 tensor copied to the host as F32.</summary>
    public void CopyTo(Span<float> destination)
    {
        if (DType == DType.F32)
            CopyTo<float>(destination);
        else
            ToArray().CopyTo(destination);
    }

    /// <summary>
    /// F32 values in host memory: this tensor if that is what it is, else a copy outside any scope, which the caller
    /// disposes.
    /// </summary>
    public Tensor OnHost()
    {
        if (Device.Kind == DeviceKind.Cpu && DType == DType.F32)
            return this;
        var host = Unscoped(Shape, DType.F32, Device.Cpu);
        if (DType == DType.F32)
            host.CopyFrom(this);
        else
            ToArray().CopyTo(host.Span<float>());
        return host;
    }

    /// <summary>Overwrites this F32 or BF16 tensor with F32 values in host memory, rounded if need be.</summary>
    public void Put(Tensor host)
    {
        if (DType == DType.F32)
        {
            CopyFrom(host);
            return;
        }
        using var rounded = Unscoped(Shape, DType, Device.Cpu);
        CastKernel.ToBFloat16(host.Pointer<float>(), rounded.Pointer<ushort>(), Count);
        CopyFrom(rounded);
    }

    /// <summary>This tensor if it is on <paramref name="device"/>, else a copy there, of the current scope.</summary>
    public Tensor To(Device device)
    {
        if (Device == device)
            return this;
        var copy = Empty(Shape, DType, device);
        copy.CopyFrom(this);
        return copy;
    }

    /// <summary>The value of a one-element F32 tensor.</summary>
    public float Item()
    {
        if (Count != 1 || DType != DType.F32)
            throw new InvalidOperationException($"[item] tensor must hold one F32 element, but got {DType} {Shape}");
        float value;
        Device.CopyToHost(Address, new Span<byte>(&value, sizeof(float)));
        return value;
    }

    /// <summary>
    /// Overwrites this tensor with the elements of <paramref name="source"/> (same shape and dtype, any device).
    /// </summary>
    public void CopyFrom(Tensor source)
    {
        if (source.Shape != Shape || source.DType != DType)
            throw new ArgumentException(
                $"[copy_from] shapes and dtypes must match, but got {DType} {Shape} and {source.DType} {source.Shape}");
        if (source.HasAdapterRoom)
        {
            using var dense = source.Dense();
            CopyFrom(dense);
            return;
        }
        if (HasAdapterRoom)
        {
            CopyIntoRows(source);
            return;
        }
        if (source.Device == Device)
            Device.Copy(source.Address, Address, ByteCount);
        else if (source.Device.Kind == DeviceKind.Cpu)
            InPieces(ByteCount, (at, n) => Device.CopyFromHost(Address + at, new(source.Address + at, n)));
        else if (Device.Kind == DeviceKind.Cpu)
            InPieces(ByteCount, (at, n) => source.Device.CopyToHost(source.Address + at, new(Address + at, n)));
        else
            throw new ArgumentException($"[copy_from] no way from {source.Device.Name} to {Device.Name}");
    }

    /// <summary>Overwrites this tensor with host values, I32.</summary>
    public void CopyFrom(ReadOnlySpan<int> values) => CopyFrom(values, DType.I32);

    /// <summary>Overwrites this tensor with the bits of host values, BF16.</summary>
    public void CopyFrom(ReadOnlySpan<ushort> values) => CopyFrom(values, DType.BF16);

    /// <summary>Overwrites this tensor with host values, F32.</summary>
    public void CopyFrom(ReadOnlySpan<float> values) => CopyFrom(values, DType.F32);

    private void CopyFrom<T>(ReadOnlySpan<T> values, DType dtype)
        where T : unmanaged
    {
        if (values.Length != Count || DType != dtype)
            throw new ArgumentException(
                $"[copy_from] {Count} {DType} values expected, but got {values.Length} {dtype}");
        if (HasAdapterRoom)
        {
            using var dense = Unscoped(Shape, DType, Device);
            dense.CopyFrom(values, dtype);
            CopyIntoRows(dense);
            return;
        }
        Device.CopyFromHost(Address, MemoryMarshal.AsBytes(values));
    }

    // A span holds at most 2 GiB.
    private static void InPieces(long bytes, Action<long, int> copy)
    {
        const int Most = 1 << 30;
        for (long at = 0; at < bytes; at += Most)
            copy(at, (int)Math.Min(Most, bytes - at));
    }

    private static Tensor FromBytes(ReadOnlySpan<byte> bytes, int count, Shape shape, DType dtype, Device? device)
    {
        if (count != shape.Count)
            throw new ArgumentException($"[from] {shape.Count} values expected for shape {shape}, but got {count}");
        var tensor = Empty(shape, dtype, device);
        tensor.Device.CopyFromHost(tensor.Address, bytes);
        return tensor;
    }
}
