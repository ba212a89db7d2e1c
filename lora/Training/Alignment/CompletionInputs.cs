using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// The labelled tokens of a batch as a grid (n, K), each row's side by side and filled up: only their hidden states go
/// through the output layer, and a sum over the last axis is a sum over a response.
/// </summary>
/// <param name="prefix">Put before the names of the inputs, when a batch is used in two ways.</param>
/// <param name="first">First row of the batch that counts.</param>
/// <param name="step">Rows from one that counts to the next.</param>
internal sealed class CompletionInputs(string prefix = "", int first = 0, int step = 1)
{
    private int[] ids = [];
    private int[] positions = [];
    private int[] grid = [];
    private int[] labels = [];
    private float[] values = [];

    /// <summary>Rows of the last batch (n).</summary>
    public int Rows { get; private set; }

    /// <summary>Columns of the last batch's grid (K).</summary>
    public int Width { get; private set; }

    /// <summary>Writes tokens and grid.</summary>
    /// <exception cref="UserErrorException">No token is labelled.</exception>
    public void Prepare(Batch batch, InputSet inputs)
    {
        Rows = (batch.B - first + step - 1) / step;
        Width = 0;
        for (var r = 0; r < Rows; r++)
            Width = Math.Max(Width, Row(batch, r).LabelCount);
        if (Width == 0)
            throw new UserErrorException("a batch has no labelled token: every label is -100");
        Width = (Width + inputs.Multiple - 1) / inputs.Multiple * inputs.Multiple;
        Grow(ref ids, Rows * batch.T);
        Grow(ref positions, Rows * batch.T);
        Grow(ref grid, Rows * Width);
        Grow(ref labels, Rows * Width);
        for (var r = 0; r < Rows; r++)
            Fill(batch, r);
        var tokens = Shape.Of(Rows, batch.T);
        inputs.Set(prefix + "ids", ids.AsSpan(0, Rows * batch.T), tokens);
        inputs.Set(prefix + "positions", positions.AsSpan(0, Rows * batch.T), tokens);
        var shape = Shape.Of(Rows, Width);
        inputs.Set(prefix + "rows", grid.AsSpan(0, Rows * Width), shape);
        inputs.Set(prefix + "labels", labels.AsSpan(0, Rows * Width), shape);
    }

    /// <summary>The example of a row.</summary>
    public SftExample Row(Batch batch, int row) => batch.Examples[first + (row * step)];

    /// <summary>Writes one value per row (n).</summary>
    public void SetRows(string name, Batch batch, InputSet inputs, Func<SftExample, float> value)
    {
        Grow(ref values, Rows);
        for (var r = 0; r < Rows; r++)
            values[r] = value(Row(batch, r));
        inputs.Set(prefix + name, values.AsSpan(0, Rows), Shape.Of(Rows));
    }

    /// <summary>Writes one value per labelled token (n, K), 0 in the filling.</summary>
    public void SetTokens(string name, Batch batch, InputSet inputs, Func<SftExample, int, float> value)
    {
        Grow(ref values, Rows * Width);
        for (var r = 0; r < Rows; r++)
        {
            var example = Row(batch, r);
            var count = example.LabelCount;
            for (var k = 0; k < Width; k++)
                values[(r * Width) + k] = k < count ? value(example, k) : 0;
        }
        inputs.Set(prefix + name, values.AsSpan(0, Rows * Width), Shape.Of(Rows, Width));
    }

    /// <summary>Hidden states of all tokens (n T, C).</summary>
    public Tensor States(CausalLM model, InputSet inputs)
    {
        var tokens = inputs[prefix + "ids"];
        var hidden = model.Hidden(tokens, inputs[prefix + "positions"]); // (n, T, C)
        return hidden.Reshape(Shape.Of((int)tokens.Count, hidden.Shape[2]));
    }

    /// <summary>Hidden states (n, K, C) of the places that predict the labels.</summary>
    public Tensor Labelled(Tensor states, InputSet inputs) => states.Embedding(inputs[prefix + "rows"]);

    /// <summary>Log-probability of every labelled token (n, K), 0 in the filling.</summary>
    public Tensor LogProbs(CausalLM model, Tensor states, InputSet inputs) =>
        model.Logits(Labelled(states, inputs)).GatherLogProbs(inputs[prefix + "labels"]);

    /// <summary>Log-probability of every response (n).</summary>
    public Tensor ResponseLogProbs(CausalLM model, InputSet inputs) =>
        LogProbs(model, States(model, inputs), inputs).Sum(^1);

    /// <summary>
    /// The same under the reference policy, which is the model without its adapter; or what was computed before.
    /// </summary>
    public Tensor ReferenceLogProbs(CausalLM model, InputSet inputs)
    {
        if (inputs.Find(prefix + "reference") is { } known)
            return known;
        using var noGrad = GradMode.NoGrad();
        using var reference = ReferencePolicy.Of(model);
        return ResponseLogProbs(model, inputs);
    }

    /// <summary>Writes what was computed before of the reference, if all rows have it.</summary>
    public void SetReference(Batch batch, InputSet inputs)
    {
        for (var r = 0; r < Rows; r++)
        {
            if (Row(batch, r) is not ResponseExample { ReferenceLogProb: not null })
                return;
        }
        SetRows("reference", batch, inputs, example => ((ResponseExample)example).ReferenceLogProb!.Value);
    }

    private void Fill(Batch batch, int r)
    {
        var source = (first + (r * step)) * batch.T;
        batch.Ids.Slice(source, batch.T).CopyTo(ids.AsSpan(r * batch.T));
        batch.Positions.Slice(source, batch.T).CopyTo(positions.AsSpan(r * batch.T));
        var at = r * Width;
        var targets = batch.Targets.Slice(source, batch.T);
        for (var t = 0; t < targets.Length; t++)
        {
            if (targets[t] == TensorOps.IgnoredLabel)
                continue;
            (grid[at], labels[at]) = ((r * batch.T) + t, targets[t]);
            at++;
        }
        for (; at < (r + 1) * Width; at++)
            (grid[at], labels[at]) = (0, TensorOps.IgnoredLabel);
    }

    private static void Grow<T>(ref T[] buffer, int count)
    {
        if (buffer.Length < count)
            buffer = new T[count];
    }
}
