namespace CudaLora.Kernels.Runtime;

/// <summary>A device address of elements of <typeparamref name="T"/>; eight bytes, fit for an args struct.</summary>
public readonly record struct DevicePointer<T>(ulong Address) where T : unmanaged
{
    /// <summary>The element <paramref name="elements"/> further on.</summary>
    public static unsafe DevicePointer<T> operator +(DevicePointer<T> pointer, long elements) =>
        new(pointer.Address + (ulong)(elements * sizeof(T)));

    /// <summary>Same as the operator.</summary>
    public DevicePointer<T> Add(long elements) => this + elements;

    /// <summary>The same address seen as another type.</summary>
    public DevicePointer<TOther> As<TOther>() where TOther : unmanaged => new(Address);

    /// <inheritdoc/>
    public override string ToString() => $"0x{Address:x}";
}
