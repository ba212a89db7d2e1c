using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public partial class LoraLinearsTests
{
    /// <summary>Layers on one x; values that BF16 holds, so that every device sees the same.</summary>
    private sealed class Problem
    {
        public Problem(
            int rows, int inputs, int[] outputs, int[] ranks, DType type, bool trainBase, bool withBias = true)
        {
            X = Leaf(1, type, 1, true, rows, inputs);
            for (var i = 0; i < outputs.Length; i++)
            {
                Weights.Add(Leaf(10 + i, type, 1, trainBase, outputs[i], inputs));
                Biases.Add(Leaf(20 + i, DType.F32, 1, trainBase, outputs[i]));
                A.Add(Leaf(30 + i, DType.F32, 1 / MathF.Sqrt(inputs), true, ranks[i], inputs));
                B.Add(Leaf(40 + i, DType.F32, 1 / MathF.Sqrt(ranks[i]), true, outputs[i], ranks[i]));
            }
            WithBias = withBias;
            Seed = Leaf(50, DType.F32, 1, false, rows * outputs.Sum());
        }

        public Tensor X { get; }

        public List<Tensor> Weights { get; } = [];

        public List<Tensor> Biases { get; } = [];

        public List<Tensor> A { get; } = [];

        public List<Tensor> B { get; } = [];

        public Tensor Seed { get; }

        public IEnumerable<Tensor> All => [X, .. A, .. B, .. Weights, .. Biases];

        private bool WithBias { get; }

        public Tensor[] Shared() => X.LoraLinears([.. Enumerable.Range(0, A.Count).Select(i => new LoraProjection(
            Weights[i], null, WithBias ? Biases[i] : null, A[i], B[i], 0.5f + i))]);

        public Tensor[] Apart() => [.. Enumerable.Range(0, A.Count).Select(i => X.LoraLinear(
            Weights[i], WithBias ? Biases[i] : null, A[i], B[i], 0.5f + i))];

        public Dictionary<string, float[]> Run(bool shared)
        {
            foreach (var t in All)
                t.ReleaseGrad();
            using var scope = TensorScope.Begin();
            var outputs = shared ? Shared() : Apart();
            var results = new Dictionary<string, float[]>();
            for (var i = 0; i < outputs.Length; i++)
                results.Add($"y{i}", outputs[i].ToArray());
            var values = Seed.ToArray();
            var all = Joined(outputs);
            var seed = Tensor.Empty(all.Shape, all.DType);
            seed.Put(Tensor.From(values, all.Shape, Device.Cpu));
            all.Backward(seed);
            foreach (var (name, gradient) in Gradients())
                results.Add(name, gradient);
            return results;
        }

        public Dictionary<string, float[]> Gradients()
        {
            var found = new Dictionary<string, float[]>();
            Add("x", X);
            for (var i = 0; i < A.Count; i++)
            {
                Add($"a{i}", A[i]);
                Add($"b{i}", B[i]);
                Add($"w{i}", Weights[i]);
            }
            return found;

            void Add(string name, Tensor t)
            {
                if (t.Grad is { } g)
                    found.Add(name, g.ToArray());
            }
        }

        private static Tensor Leaf(int seed, DType type, float scale, bool trained, params ReadOnlySpan<int> dims)
        {
            var shape = Shape.Of(dims);
            var leaf = Tensor.Empty(shape, type);
            leaf.Put(Tensor.From(
                Array.ConvertAll(GradientCheck.Values(seed, shape), v => OpCheck.ToBf16(v * scale)), shape,
                Device.Cpu));
            leaf.RequiresGrad = trained;
            return leaf;
        }
    }
}
