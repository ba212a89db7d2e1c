using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;
using DeviceAttention = CudaLora.Kernels.Ops.Attention;

namespace CudaLora.Tests.Kernels;

/// <summary>
/// Random inputs of an attention, and its forward and backward on a device. With an odd seed all tensors lie one
/// element past a 16-byte boundary.
/// </summary>
internal sealed class AttentionDeviceRun : IDisposable
{
    private readonly CudaContext context;
    private readonly bool bf16;
    private readonly LabInputs inputs;
    private readonly AttentionProblem problem;
    private readonly List<IDisposable> buffers = [];
    private readonly int shift; // elements
    private readonly int queryCount, keyCount;
    private readonly LabTensor q, k, v, dy, y, dq, dk, dv;
    private readonly DeviceBuffer<float> lse, delta;

    public AttentionDeviceRun(CudaContext context, AttentionOracle oracle, bool bf16, int seed)
    {
        (this.context, this.bf16) = (context, bf16);
        inputs = new LabInputs(context, seed);
        shift = seed % 2;
        (queryCount, keyCount) = (oracle.QueryCount, oracle.KeyCount);
        problem = new AttentionProblem
        {
            Batch = oracle.Batch,
            Queries = oracle.Queries,
            Keys = oracle.Keys,
            QueryHeads = oracle.QueryHeads,
            KeyHeads = oracle.KeyHeads,
            Size = oracle.Size,
            Scale = (float)oracle.Scale,
            Causal = oracle.Causal,
            Window = oracle.Window,
            Segments = Address(oracle.Segments),
            KeyLengths = Address(oracle.Lengths),
            QueryStarts = Address(oracle.Starts),
        };
        (q, Q) = Random(queryCount);
        (k, K) = Random(keyCount);
        (v, V) = Random(keyCount);
        (dy, Dy) = Random(queryCount);
        y = Keep(new LabTensor(inputs, (long)queryCount + shift, bf16));
        dq = Keep(new LabTensor(inputs, Filled(queryCount, 1), bf16));
        dk = Keep(new LabTensor(inputs, Filled(keyCount, 2), bf16));
        dv = Keep(new LabTensor(inputs, (long)keyCount + shift, bf16));
        int rows = oracle.Batch * oracle.QueryHeads * oracle.Queries;
        lse = Keep(inputs.Empty<float>(rows));
        delta = Keep(inputs.Empty<float>(rows));
    }

    public double[] Q { get; }
    public double[] K { get; }
    public double[] V { get; }
    public double[] Dy { get; }

    public void Forward(bool wantsLse = true)
    {
        using DeviceBuffer<float> work = inputs.Empty<float>(DeviceAttention.WorkFloats(problem) + 1);
        DeviceAttention.Forward(
            context.Stream, problem, bf16, At(q), At(k), At(v), At(y), wantsLse ? lse.Pointer.Address : 0,
            work.Pointer.Address);
        context.Stream.Synchronize();
    }

    public void Backward(bool wantsK = true)
    {
        AttentionBackward.Delta(context.Stream, problem, bf16, At(y), At(dy), delta.Pointer.Address);
        AttentionBackward.Queries(
            context.Stream, problem, bf16, At(q), At(k), At(v), At(dy), lse.Pointer.Address, delta.Pointer.Address,
            At(dq), accumulate: true);
        AttentionBackward.Keys(
            context.Stream, problem, bf16, At(q), At(k), At(v), At(dy), lse.Pointer.Address, delta.Pointer.Address,
            wantsK ? At(dk) : 0, accumulateK: true, At(dv), accumulateV: false);
    }

    public float[] Y() => Values(y, queryCount);
    public float[] Dq() => Values(dq, queryCount);
    public float[] Dk() => Values(dk, keyCount);
    public float[] Dv() => Values(dv, keyCount);
    public float[] Lse() => lse.ToArray();

    public void Dispose() => buffers.ForEach(buffer => buffer.Dispose());

    private ulong At(LabTensor tensor) => tensor.Address + (ulong)(shift * (bf16 ? 2 : 4));

    private ulong Address(int[]? values) => values is null ? 0 : Keep(inputs.Upload(values)).Pointer.Address;

    private (LabTensor Device, double[] Host) Random(int count)
    {
        float[] values = inputs.Values(count + shift);
        LabTensor device = Keep(new LabTensor(inputs, values, bf16));
        return (device, [.. values.Skip(shift).Select(value => (double)value)]);
    }

    private float[] Filled(int count, float value) => [.. Enumerable.Repeat(value, count + shift)];

    private float[] Values(LabTensor tensor, int count) => tensor.ToArray()[shift..(shift + count)];

    private T Keep<T>(T buffer) where T : IDisposable
    {
        buffers.Add(buffer);
        return buffer;
    }
}
