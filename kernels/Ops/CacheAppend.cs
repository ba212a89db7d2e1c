using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// CacheAppend.ptx: puts the keys and values of new tokens after what each row of a cache holds. Where they go is read
/// on the device, so that the launch can be part of a captured step.
/// </summary>
public static class CacheAppend
{
    private const int Block = 256;

    /// <summary>k, v (B, T, n), keys, values (B, capacity, n), starts (B) i32.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong K, ulong V, ulong Keys, ulong Values, ulong Starts, int RowUnits, int Tokens, int Capacity, int Vector);

    /// <summary>Queues the copy of both; tokens that do not fit in the capacity are dropped.</summary>
    /// <param name="stream">Where.</param>
    /// <param name="bf16">Type of all four: bf16 or f32.</param>
    /// <param name="k">Address of the new keys.</param>
    /// <param name="v">Address of the new values.</param>
    /// <param name="keys">Address of the cache's keys.</param>
    /// <param name="values">Address of the cache's values.</param>
    /// <param name="starts">Address of the tokens that each row holds.</param>
    /// <param name="batch">B.</param>
    /// <param name="tokens">T.</param>
    /// <param name="capacity">Tokens of a row at most.</param>
    /// <param name="width">n, elements of a token.</param>
    public static void Launch(
        CudaStream stream, bool bf16, ulong k, ulong v, ulong keys, ulong values, ulong starts, int batch, int tokens,
        int capacity, int width)
    {
        if (batch == 0 || tokens == 0 || width == 0) return;
        int perUnit = bf16 ? 8 : 4;
        bool vector = ((k | v | keys | values) & 15) == 0 && width % perUnit == 0;
        var args = new Args(
            k, v, keys, values, starts, vector ? width / perUnit : width, tokens, capacity, vector ? 1 : 0);
        stream.Context.Modules.Kernel<Args>("CacheAppend", bf16 ? "cache_append_bf16" : "cache_append_f32")
            .Launch(stream, Shape(batch, tokens * args.RowUnits), args);
    }

    /// <summary>A thread per unit, k and v down, rows deep.</summary>
    public static LaunchShape Shape(int batch, int units) =>
        new(new Dim3((uint)((units + Block - 1) / Block), 2, (uint)batch), Block);
}

internal abstract class CacheAppendLab(bool bf16) : KernelLab
{
    public override string Stem => "CacheAppend";
    public override string Entry => bf16 ? "cache_append_bf16" : "cache_append_f32";
    public override string? Note => "a row's start is read by every thread of it: one sector a warp";
    public override string Summary => "keys[b, starts[b] + t] = k[b, t], and values";
    public override Type Args => typeof(CacheAppend.Args);
    public override IReadOnlyList<string> ShapeNames => ["batch", "tokens", "capacity", "width"];
    public override IReadOnlyList<int> DefaultShape => [3, 2, 7, 72];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int batch, int tokens, int capacity, int width) = (shape[0], shape[1], shape[2], shape[3]);
        float[] k = inputs.Values(batch * tokens * width), v = inputs.Values(batch * tokens * width);
        float[] keys = inputs.Values(batch * capacity * width), values = inputs.Values(batch * capacity * width);
        // The last rows are full or nearly so.
        int[] starts = [.. Enumerable.Range(0, batch).Select(b => b * capacity / Math.Max(1, batch - 1))];
        using var deviceK = new LabTensor(inputs, k, bf16);
        using var deviceV = new LabTensor(inputs, v, bf16);
        using var deviceKeys = new LabTensor(inputs, keys, bf16);
        using var deviceValues = new LabTensor(inputs, values, bf16);
        using DeviceBuffer<int> deviceStarts = inputs.Upload(starts);
        CacheAppend.Launch(
            context.Stream, bf16, deviceK.Address, deviceV.Address, deviceKeys.Address, deviceValues.Address,
            deviceStarts.Pointer.Address, batch, tokens, capacity, width);
        long moved = 0;
        for (int token = 0; token < batch * tokens; token++)
        {
            int b = token / tokens, slot = starts[b] + token % tokens;
            if (slot >= capacity) continue;
            k.AsSpan(token * width, width).CopyTo(keys.AsSpan((b * capacity + slot) * width, width));
            v.AsSpan(token * width, width).CopyTo(values.AsSpan((b * capacity + slot) * width, width));
            moved += 4L * width;
        }
        // A copy: exact.
        double error = Math.Max(
            Distance(deviceKeys.ToArray(), [.. keys.Select(x => (double)x)]),
            Distance(deviceValues.ToArray(), [.. values.Select(x => (double)x)]));
        int units = tokens * (width % (bf16 ? 8 : 4) == 0 ? width / (bf16 ? 8 : 4) : width);
        return new LabRun(
            CacheAppend.Shape(batch, units), error, 0, moved * (bf16 ? 2 : 4) + 4L * batch, 0);
    }

    internal sealed class F32() : CacheAppendLab(bf16: false);
    internal sealed class Bf16() : CacheAppendLab(bf16: true);
}
