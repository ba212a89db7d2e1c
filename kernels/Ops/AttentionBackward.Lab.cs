using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// The three passes: inputs of the forward, its log-sum-exp and delta from the oracle, and a gradient of y.
/// </summary>
internal abstract class AttentionBackwardLab(string stem, string entry, bool bf16, bool masked)
    : AttentionLab(stem, entry, bf16, masked)
{
    protected override LabRun Pass(CudaContext context, LabInputs inputs, AttentionLabData data)
    {
        float[] dy = inputs.Values(data.QueryCount);
        using var deviceDy = new LabTensor(inputs, dy, Bf16);
        (double[] dq, double[] dk, double[] dv, double[] delta) = data.Backward(dy);
        using DeviceBuffer<float> deviceLse = inputs.Device([.. data.Lse.Select(value => (float)value)]);
        using DeviceBuffer<float> deviceDelta = inputs.Device([.. delta.Select(value => (float)value)]);
        return Pass(
            context, inputs, data,
            new(deviceDy.Address, deviceLse.Pointer.Address, deviceDelta.Pointer.Address, dq, dk, dv, delta));
    }

    protected abstract LabRun Pass(CudaContext context, LabInputs inputs, AttentionLabData data, Gradients of);

    protected sealed record Gradients(
        ulong Dy, ulong Lse, ulong DeviceDelta, double[] Q, double[] K, double[] V, double[] Delta);

    internal abstract class QueriesLab(string stem, string entry, bool bf16, bool masked)
        : AttentionBackwardLab(stem, entry, bf16, masked)
    {
        public override string Summary => "dq = s ds k, ds = p (dy vᵀ - delta); adds when asked";
        public override Type Args => typeof(AttentionBackward.QueryArgs);

        protected override LabRun Pass(CudaContext context, LabInputs inputs, AttentionLabData data, Gradients of)
        {
            float[] start = inputs.Values(data.QueryCount);
            using var dq = new LabTensor(inputs, start, Bf16);
            AttentionBackward.Queries(
                context.Stream, data.Problem, Bf16, data.DeviceQ.Address, data.DeviceK.Address, data.DeviceV.Address,
                of.Dy, of.Lse, of.DeviceDelta, dq.Address, accumulate: true);
            for (int i = 0; i < start.Length; i++) of.Q[i] += start[i];
            long bytes = ElementSize * (4L * data.QueryCount + 2L * data.KeyCount) + 8L * data.Lse.Length;
            return new LabRun(
                AttentionBackward.QueriesShape(data.Problem, Bf16), Distance(dq.ToArray(), of.Q), Tolerance, bytes,
                6.0 * data.Pairs * data.Problem.Size);
        }
    }

    internal abstract class KeysLab(string stem, string entry, bool bf16, bool masked)
        : AttentionBackwardLab(stem, entry, bf16, masked)
    {
        public override string Summary => "dk = s dsᵀ q and dv = pᵀ dy, by blocks of keys; adds when asked";
        public override Type Args => typeof(AttentionBackward.KeyArgs);

        protected override LabRun Pass(CudaContext context, LabInputs inputs, AttentionLabData data, Gradients of)
        {
            float[] start = inputs.Values(data.KeyCount);
            using var dk = new LabTensor(inputs, start, Bf16);
            using var dv = new LabTensor(inputs, data.KeyCount, Bf16);
            AttentionBackward.Keys(
                context.Stream, data.Problem, Bf16, data.DeviceQ.Address, data.DeviceK.Address, data.DeviceV.Address,
                of.Dy, of.Lse, of.DeviceDelta, dk.Address, accumulateK: true, dv.Address, accumulateV: false);
            for (int i = 0; i < start.Length; i++) of.K[i] += start[i];
            double error = Math.Max(Distance(dk.ToArray(), of.K), Distance(dv.ToArray(), of.V));
            long bytes = ElementSize * (2L * data.QueryCount + 5L * data.KeyCount) + 8L * data.Lse.Length;
            return new LabRun(
                AttentionBackward.KeysShape(data.Problem, Bf16), error, Tolerance, bytes,
                8.0 * data.Pairs * data.Problem.Size);
        }
    }

    internal abstract class DeltaLab(string entry, bool bf16)
        : AttentionBackwardLab("AttentionBackwardDelta", entry, bf16, true)
    {
        public override string Summary => "delta = rowsum(dy y)";
        public override Type Args => typeof(AttentionBackward.DeltaArgs);

        protected override LabRun Pass(CudaContext context, LabInputs inputs, AttentionLabData data, Gradients of)
        {
            using var y = new LabTensor(inputs, [.. data.Y.Select(value => (float)value)], Bf16);
            using DeviceBuffer<float> delta = inputs.Empty<float>(data.Lse.Length);
            AttentionBackward.Delta(context.Stream, data.Problem, Bf16, y.Address, of.Dy, delta.Pointer.Address);
            int rows = data.Lse.Length;
            return new LabRun(
                AttentionBackward.DeltaShape(rows), Distance(delta.ToArray(), of.Delta), Tolerance,
                ElementSize * 2L * data.QueryCount + 4L * rows, 2.0 * data.QueryCount);
        }
    }

    internal sealed class QueriesF32()
        : QueriesLab("AttentionBackwardQueries", "attention_backward_queries_f32", false, true)
    {
        public override IReadOnlyList<int> DefaultShape => [2, 40, 50, 4, 2, 70];
    }

    internal sealed class QueriesBf16()
        : QueriesLab("AttentionBackwardQueriesBf16", "attention_backward_queries_64_bf16", true, false)
    {
        public override IReadOnlyList<int> DefaultShape => [2, 70, 90, 2, 1, 40];
        public override IReadOnlyList<int> BenchShape => [1, 1024, 1024, 16, 4, 64];
    }

    internal sealed class QueriesWideBf16()
        : QueriesLab("AttentionBackwardQueriesWideBf16", "attention_backward_queries_128_bf16", true, false)
    {
        public override IReadOnlyList<int> DefaultShape => [1, 70, 90, 2, 1, 96];
        public override IReadOnlyList<int> BenchShape => [1, 1024, 1024, 8, 2, 128];
    }

    internal sealed class KeysF32() : KeysLab("AttentionBackwardKeys", "attention_backward_keys_f32", false, true)
    {
        public override IReadOnlyList<int> DefaultShape => [2, 40, 50, 4, 2, 70];
    }

    internal sealed class KeysBf16()
        : KeysLab("AttentionBackwardKeysBf16", "attention_backward_keys_64_bf16", true, false)
    {
        public override IReadOnlyList<int> DefaultShape => [2, 70, 90, 4, 2, 40];
        public override IReadOnlyList<int> BenchShape => [1, 1024, 1024, 16, 4, 64];
    }

    internal sealed class KeysWideBf16()
        : KeysLab("AttentionBackwardKeysWideBf16", "attention_backward_keys_128_bf16", true, false)
    {
        public override IReadOnlyList<int> DefaultShape => [1, 70, 90, 2, 1, 96];
        public override IReadOnlyList<int> BenchShape => [1, 1024, 1024, 8, 2, 128];
    }

    internal sealed class DeltaF32() : DeltaLab("attention_delta_f32", bf16: false)
    {
        public override IReadOnlyList<int> DefaultShape => [2, 9, 9, 3, 3, 72];
    }

    internal sealed class DeltaBf16() : DeltaLab("attention_delta_bf16", bf16: true)
    {
        public override IReadOnlyList<int> DefaultShape => [2, 9, 9, 3, 3, 72];
    }
}
