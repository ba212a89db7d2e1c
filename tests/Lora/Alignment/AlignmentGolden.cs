using System.Text.Json;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>
/// tests/Golden/alignment: PyTorch's numbers on the llama golden model, six sequences as three pairs. Tolerances are
/// those of tests/Golden/README.md: 5e-5 for gradients, 2e-5 for losses, 1e-4 for log-probabilities, which are logits.
/// </summary>
internal sealed class AlignmentGolden : IDisposable
{
    private static readonly string Root = Path.Combine(SharedData.Root, "tests", "Golden");

    private readonly SafetensorsFile file = SafetensorsFile.Open(
        Path.Combine(Root, "alignment", "alignment.safetensors"));

    private readonly JsonDocument numbers = JsonDocument.Parse(
        File.ReadAllText(Path.Combine(Root, "alignment", "alignment.json")));

    public AlignmentGolden()
    {
        Model = CausalLM.Load(Path.Combine(Root, "llama"));
        Adapter = LoraAdapter.Load(Model, Path.Combine(Root, "llama", "adapter"));
        Adapter.SetTrainable(true);
        Lengths = [.. numbers.RootElement.GetProperty("lengths").EnumerateArray()
            .Select(pair => (pair[0].GetInt32(), pair[1].GetInt32()))];
    }

    public CausalLM Model { get; }

    public LoraAdapter Adapter { get; }

    /// <summary>Prompt and response length of each row.</summary>
    public (int Prompt, int Response)[] Lengths { get; }

    public JsonElement Numbers => numbers.RootElement;

    public float[] Values(string key)
    {
        var entry = file.Entry(key);
        var values = new float[entry.Shape.Aggregate(1L, (a, b) => a * b)];
        file.CopyToF32(entry, values);
        return values;
    }

    public double Value(string key) => Assert.Single(Values(key));

    /// <summary>PPO's limit; a response that is shorter is rewarded after its end.</summary>
    public int ResponseLength => Numbers.GetProperty("ppo").GetProperty("response_length").GetInt32();

    /// <summary>One row of a padded table: a value per token, or per state of PPO.</summary>
    public float[] Row(string key, int row, bool states = false)
    {
        var values = Values(key);
        var width = values.Length / Lengths.Length;
        var count = Lengths[row].Response;
        return values[(row * width)..((row * width) + (states ? Math.Min(count + 1, ResponseLength) : count))];
    }

    /// <summary>The rows, made by <paramref name="make"/> from number, ids and labels.</summary>
    public T[] Rows<T>(Func<int, int[], int[], T> make)
    {
        var ids = file.Span<int>(file.Entry("ids")).ToArray();
        var width = ids.Length / Lengths.Length;
        return [.. Lengths.Select((length, i) =>
        {
            var row = ids[(i * width)..((i * width) + length.Prompt + length.Response)];
            var labels = row.ToArray();
            labels.AsSpan(0, length.Prompt).Fill(SftExample.Ignored);
            return make(i, row, labels);
        })];
    }

    /// <summary>The rows as responses that PPO samples.</summary>
    public RolloutExample[] Rollouts() => Rows((i, ids, labels) => new RolloutExample(
        ids, labels,
        new RewardSample(
            new PromptRecord(new PromptExample("", "")), ids[..Lengths[i].Prompt], ids[Lengths[i].Prompt..], "", true))
    {
        IsRewardedAfterEnd = Lengths[i].Response < ResponseLength,
    });

    /// <summary>All rows as one batch.</summary>
    public static Batch Batch(IReadOnlyList<SftExample> rows)
    {
        var batch = new Batch();
        new Batcher(rows, new BatcherOptions { BatchSize = rows.Count, Shuffle = false }).Next(batch);
        return batch;
    }

    /// <summary>The stored gradients of a loss are those of the adapter.</summary>
    public void AssertGradients(string loss, double tolerance = 5e-5)
    {
        var compared = 0;
        foreach (var parameter in Adapter.TrainableParameters())
        {
            var key = $"{loss}.grad.base_model.model.{parameter.Path.Value}";
            if (!file.Entries.ContainsKey(key))
                continue;
            AssertNear(Values(key), parameter.Value.Grad!.ToArray(), tolerance, key);
            compared++;
        }
        Assert.Equal(4, compared);
    }

    public static void AssertNear(
        ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, double tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.True(
                Math.Abs(expected[i] - actual[i]) <= tolerance, $"{what} at {i}: {actual[i]}, PyTorch {expected[i]}");
    }

    /// <summary>Gives the adapter the values of the policy after a step.</summary>
    public void Move()
    {
        foreach (var parameter in Adapter.TrainableParameters())
            Values($"moved.base_model.model.{parameter.Path.Value}").CopyTo(parameter.Value.Span<float>());
    }

    public void Dispose()
    {
        Adapter.Dispose();
        Model.Dispose();
        file.Dispose();
        numbers.Dispose();
    }
}
