using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// An LSTM that reads a sequence both ways (Hochreiter and Schmidhuber 1997), with PyTorch's gates, names and
/// initialisation.
/// </summary>
internal sealed class Lstm : Module
{
    private readonly Direction[][] layers;
    private readonly float dropout;
    private readonly Generator random;

    public Lstm(
        ParameterPath path, int width, int hidden, int count, float dropout, ParameterSource source, Generator random)
        : base(path)
    {
        (this.dropout, this.random) = (dropout, random);
        layers = new Direction[count][];
        for (var i = 0; i < count; i++)
        {
            var from = i == 0 ? width : 2 * hidden;
            layers[i] =
            [
                Child(new Direction(path, $"l{i}", from, hidden, source)),
                Child(new Direction(path, $"l{i}_reverse", from, hidden, source)),
            ];
        }
    }

    /// <summary>(N, width) to (N, 2 hidden).</summary>
    public Tensor Forward(Tensor x)
    {
        for (var i = 0; i < layers.Length; i++)
        {
            if (i > 0 && Training && dropout > 0)
                x = x.Dropout(DropoutMask.Draw(dropout, random));
            x = TensorOps.Concat(1, layers[i][0].Forward(x, false), layers[i][1].Forward(x, true));
        }
        return x;
    }

    private sealed class Direction : Module
    {
        private readonly int hidden;
        private readonly Parameter inputWeight; // (4H, in): input, forget, cell, output
        private readonly Parameter stateWeight; // (4H, H)
        private readonly Parameter inputBias;
        private readonly Parameter stateBias;

        public Direction(ParameterPath path, string name, int width, int hidden, ParameterSource source)
            : base(path)
        {
            this.hidden = hidden;
            var uniform = Initializer.KaimingUniform(hidden);
            inputWeight = Own(source.Parameter(path / $"weight_ih_{name}", Shape.Of(4 * hidden, width), uniform));
            stateWeight = Own(source.Parameter(path / $"weight_hh_{name}", Shape.Of(4 * hidden, hidden), uniform));
            inputBias = Own(source.Parameter(path / $"bias_ih_{name}", Shape.Of(4 * hidden), uniform));
            stateBias = Own(source.Parameter(path / $"bias_hh_{name}", Shape.Of(4 * hidden), uniform));
        }

        public Tensor Forward(Tensor x, bool reverse)
        {
            var count = x.Shape[0];
            var gates = x.Linear(inputWeight, inputBias); // (N, 4H)
            var state = Tensor.Zeros(Shape.Of(1, hidden), DType.F32, x.Device);
            var cell = state;
            var outputs = new Tensor[count];
            for (var i = 0; i < count; i++)
            {
                var t = reverse ? count - 1 - i : i;
                var gate = gates.Slice(0, t, 1).Add(state.Linear(stateWeight, stateBias));
                var kept = Squash.Sigmoid(gate.Slice(1, hidden, hidden)).Mul(cell);
                var added = Squash.Sigmoid(gate.Slice(1, 0, hidden)).Mul(
                    Squash.Tanh(gate.Slice(1, 2 * hidden, hidden)));
                cell = kept.Add(added);
                state = Squash.Sigmoid(gate.Slice(1, 3 * hidden, hidden)).Mul(Squash.Tanh(cell));
                outputs[t] = state;
            }
            return Joined(outputs);
        }

        // Concat takes eight at a time.
        private static Tensor Joined(ReadOnlySpan<Tensor> rows)
        {
            if (rows.Length <= 8)
                return rows.Length == 1 ? rows[0] : TensorOps.Concat(0, rows);
            var groups = new List<Tensor>();
            for (var i = 0; i < rows.Length; i += 8)
                groups.Add(Joined(rows.Slice(i, Math.Min(8, rows.Length - i))));
            return Joined(groups.ToArray());
        }
    }
}
