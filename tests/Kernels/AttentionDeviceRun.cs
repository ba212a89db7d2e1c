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
    private readonly LabTensor q, k, v, dy, y, dq, dk, dv;
    private readonly DeviceBuffer<float> lse, delta;

    public AttentionDeviceRun(CudaContext context, AttentionOracle oracle, bool bf16, int seed)
    {
        (this.context, this.bf16) = (context, bf16);
        inputs = new LabInputs(context, seed, shift: seed % 2);
        int queryCount = oracle.QueryCount, keyCount = oracle.KeyCount;
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
        y = Keep(new LabTensor(inputs, queryCount, bf16));
        dq = Keep(new LabTensor(inputs, Filled(queryCount, 1), bf16));
        dk = Keep(new LabTensor(inputs, Filled(keyCount, 2), bf16));
        dv = Keep(new LabTensor(inputs, keyCount, bf16));
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
            context.Stream, problem, bf16, q.Address, k.Address, v.Address, y.Address,
            wantsLse ? lse.Pointer.Address : 0, work.Pointer.Address);
        context.Stream.Synchronize();
    }

    public void Backward(bool wantsK = true)
    {
        AttentionBackward.Delta(context.Stream, problem, bf16, y.Address, dy.Address, delta.Pointer.Address);
        AttentionBackward.Queries(
            context.Stream, problem, bf16, q.Address, k.Address, v.Address, dy.Address, lse.Pointer.Address,
            delta.Pointer.Address, dq.Address, accumulate: true);
        AttentionBackward.Keys(
            context.Stream, problem, bf16, q.Address, k.Address, v.Address, dy.Address, lse.Pointer.Address,
            delta.Pointer.Address, wantsK ? dk.Address : 0, accumulateK: true, dv.Address, accumulateV: false);
    }

    public float[] Y() => y.ToArray();
    public float[] Dq() => dq.ToArray();
    public float[] Dk() => dk.ToArray();
    public float[] Dv() => dv.ToArray();
    public float[] Lse() => lse.ToArray();

    public void Dispose() => buffers.ForEach(buffer => buffer.Dispose());

    private ulong Address(int[]? values) => values is null ? 0 : Keep(inputs.Upload(values)).Pointer.Address;

    private (LabTensor Device, double[] Host) Random(int count)
    {
        float[] values = inputs.Values(count);
        LabTensor device = Keep(new LabTensor(inputs, values, bf16));
        return (device, [.. values.Select(value => (double)value)]);
    }

    private float[] Filled(int count, float value) => [.. Enumerable.Repeat(value, count)];

    private T Keep<T>(T buffer) where T : IDisposable
    {
        buffers.Add(buffer);
        return buffer;
    }
}
