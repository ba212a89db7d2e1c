using System.Numerics;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>
/// A frozen matrix in 4-bit blocks, bit-compatible with bitsandbytes: codes of the flat row-major values, two per byte,
/// and one scale per block; the scales are F32 or, with double quantisation, 8-bit codes with scales of their own. It
/// is no part of the autograd graph: products read it in place.
/// </summary>
public sealed unsafe class QuantizedTensor : IDisposable
{
    internal const int GroupSize = 256;

    internal QuantizedTensor(Shape shape, QuantizationOptions options, QuantizedParts parts, string name)
    {
        (Shape, Options, Parts, Name) = (shape, options, parts, name);
    }

    /// <summary>Extents of the matrix: (out, in).</summary>
    public Shape Shape { get; }

    /// <summary>Type, block size, and what the values were before.</summary>
    public QuantizationOptions Options { get; }

    /// <summary>The name in messages and files.</summary>
    public string Name { get; }

    /// <summary>Number of weights.</summary>
    public long Count => Shape.Count;

    /// <summary>Number of blocks.</summary>
    public long Blocks => BlocksOf(Count, Options.BlockSize);

    /// <summary>Where it is.</summary>
    public Device Device => Parts.Codes.Device;

    /// <summary>Bytes of codes, scales and tables.</summary>
    public long ByteCount => PartBytes.Sum();

    /// <summary>Bytes of each of these.</summary>
    public IEnumerable<long> PartBytes => Parts.All.Select(part => part.ByteCount);

    internal QuantizedParts Parts { get; }

    /// <summary>Pointers for the CPU kernels.</summary>
    internal QuantizedView View => new()
    {
        Codes = Parts.Codes.Pointer<byte>(),
        Codebook = Parts.Codebook.Pointer<float>(),
        AbsMax = Options.DoubleQuant ? null : Parts.AbsMax.Pointer<float>(),
        AbsMaxCodes = Options.DoubleQuant ? Parts.AbsMax.Pointer<byte>() : null,
        NestedAbsMax = Options.DoubleQuant ? Parts.NestedAbsMax!.Pointer<float>() : null,
        NestedMap = Options.DoubleQuant ? Parts.NestedMap!.Pointer<float>() : null,
        Offset = Parts.Offset,
        BlockShift = BitOperations.Log2((uint)Options.BlockSize),
        NestedShift = BitOperations.Log2((uint)Parts.GroupSize),
    };

    /// <summary>Addresses for the CUDA kernels that read the codes; Y, where values go, is 0.</summary>
    internal Nf4Dequantize.Args DeviceView
    {
        get
        {
            var (nested, scales) = (Options.DoubleQuant, Parts.AbsMax.DeviceAddress);
            return new(
                Parts.Codes.DeviceAddress, Parts.Codebook.DeviceAddress, nested ? 0 : scales, nested ? scales : 0,
                Parts.NestedAbsMax?.DeviceAddress ?? 0, Parts.NestedMap?.DeviceAddress ?? 0, 0, Shape[1], Shape[1],
                Parts.Offset, BitOperations.Log2((uint)Options.BlockSize), BitOperations.Log2((uint)Parts.GroupSize));
        }
    }

    /// <summary>Quantises F32 values in host memory.</summary>
    /// <param name="values">The matrix (out, in).</param>
    /// <param name="options">Type, block size, double quantisation.</param>
    /// <param name="name">Names the layer in errors.</param>
    /// <exception cref="UserErrorException">A value is NaN or infinite, or the options do not fit.</exception>
    public static QuantizedTensor Quantize(Tensor values, QuantizationOptions options, string name)
    {
        options.Validate();
        Tensor.RequireF32("quantize", values);
        var (n, blocks) = (values.Count, BlocksOf(values.Count, options.BlockSize));
        var codes = Owned((n + 1) / 2, DType.U8);
        var absMax = Owned(blocks, DType.F32);
        var shift = BitOperations.Log2((uint)options.BlockSize);
        if (!Nf4Kernel.Quantize(
            values.Pointer<float>(), n, shift, codes.Pointer<byte>(), absMax.Pointer<float>()))
        {
            codes.Dispose();
            absMax.Dispose();
            throw new UserErrorException($"{name}: weights must be finite to be quantised, but hold NaN or infinity");
        }
        var codebook = Table(QuantTables.Nf4);
        var parts = options.DoubleQuant
            ? Nested(codes, codebook, absMax)
            : new QuantizedParts(codes, codebook, absMax);
        return new QuantizedTensor(values.Shape, options, parts, name);
    }

    /// <summary>The values, F32 in host memory, outside any scope; from a device they are copied as codes.</summary>
    public Tensor Dequantize()
    {
        if (Device.Kind != DeviceKind.Cpu)
        {
            using var host = To(Device.Cpu);
            return host.Dequantize();
        }

        var values = Tensor.Owned(Shape, device: Device.Cpu);
        Dequantize(values);
        return values;
    }

    /// <summary>Overwrites <paramref name="values"/>, F32 in host memory of the same shape, with the values.</summary>
    public void Dequantize(Tensor values)
    {
        if (values.Shape != Shape)
            throw new ArgumentException($"[dequantize] shapes must match, but got {values.Shape} for {Shape}");
        Nf4Kernel.Dequantize(View, values.Pointer<float>(), Count);
    }

    /// <summary>
    /// Queues the values, as F32 or BF16, to device memory at <paramref name="to"/> with rows
    /// <paramref name="pitch"/> elements apart.
    /// </summary>
    internal void DequantizeTo(ulong to, int pitch, DType dtype) => Nf4Dequantize.Launch(
        ((CudaDevice)Device).Stream, dtype == DType.BF16, Shape[0], DeviceView with { Y = to, LdY = pitch });

    /// <summary>How far the values are from <paramref name="original"/>, F32 in host memory.</summary>
    public QuantizationError ErrorFrom(Tensor original)
    {
        using var values = Dequantize();
        float* a = original.Pointer<float>(), b = values.Pointer<float>();
        double squares = 0, errors = 0, absolute = 0;
        for (long i = 0; i < Count; i++)
        {
            double difference = (double)a[i] - b[i];
            squares += (double)a[i] * a[i];
            errors += difference * difference;
            absolute += Math.Abs(difference);
        }
        return new QuantizationError(Name, Count, squares == 0 ? 0 : Math.Sqrt(errors / squares), absolute / Count);
    }

    /// <summary>The same weights on another device; this one stays.</summary>
    public QuantizedTensor To(Device device) => new(Shape, Options, Parts.To(device), Name);

    /// <summary>Releases the memory.</summary>
    public void Dispose()
    {
        foreach (var part in Parts.All)
            part.Dispose();
    }

    internal static long BlocksOf(long count, int blockSize) => (count + blockSize - 1) / blockSize;

    internal static Tensor Owned(long count, DType dtype) =>
        Tensor.Owned(Shape.Of(checked((int)count)), dtype, Device.Cpu);

    internal static Tensor Table(ReadOnlySpan<float> values)
    {
        var table = Owned(values.Length, DType.F32);
        table.CopyFrom(values);
        return table;
    }

    private static QuantizedParts Nested(Tensor codes, Tensor codebook, Tensor absMax)
    {
        var n = absMax.Count;
        double sum = 0;
        foreach (var scale in absMax.Span<float>())
            sum += scale;
        var offset = (float)(sum / Math.Max(1, n));
        var bytes = Owned(n, DType.U8);
        var groups = Owned(BlocksOf(n, GroupSize), DType.F32);
        DynamicQuantize.Run(
            absMax.Pointer<float>(), n, offset, GroupSize, QuantTables.SignedDynamic, bytes.Pointer<byte>(),
            groups.Pointer<float>());
        absMax.Dispose();
        return new QuantizedParts(codes, codebook, bytes, groups, Table(QuantTables.SignedDynamic), offset);
    }
}

/// <summary>The error that quantising a layer made.</summary>
/// <param name="Name">The layer's weight.</param>
/// <param name="Count">Number of weights.</param>
/// <param name="Relative">Norm of the difference over the norm of the original.</param>
/// <param name="MeanAbsolute">Mean magnitude of the difference.</param>
public readonly record struct QuantizationError(string Name, long Count, double Relative, double MeanAbsolute);

/// <summary>What a 4-bit matrix consists of.</summary>
/// <param name="Codes">Two codes per byte, U8.</param>
/// <param name="Codebook">Values of the 16 codes, F32.</param>
/// <param name="AbsMax">One scale per block: F32, or U8 codes when there is a nested part.</param>
/// <param name="NestedAbsMax">One scale per group of scales, F32, or null.</param>
/// <param name="NestedMap">Values of the 256 codes of scales, F32, or null.</param>
/// <param name="Offset">Added to scales decoded from codes.</param>
/// <param name="GroupSize">Scales per group.</param>
internal sealed record QuantizedParts(
    Tensor Codes, Tensor Codebook, Tensor AbsMax, Tensor? NestedAbsMax = null, Tensor? NestedMap = null,
    float Offset = 0, int GroupSize = QuantizedTensor.GroupSize)
{
    public IEnumerable<Tensor> All =>
        new[] { Codes, Codebook, AbsMax, NestedAbsMax, NestedMap }.Where(part => part is not null)!;

    public QuantizedParts To(Device device)
    {
        return new QuantizedParts(
            Copy(Codes)!, Copy(Codebook)!, Copy(AbsMax)!, Copy(NestedAbsMax), Copy(NestedMap), Offset, GroupSize);

        Tensor? Copy(Tensor? part)
        {
            if (part is null)
                return null;
            var copy = Tensor.Owned(part.Shape, part.DType, device);
            copy.CopyFrom(part);
            return copy;
        }
    }
}
