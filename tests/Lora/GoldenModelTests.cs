using CudaLora.Engine;
using CudaLora.Lora;
using static CudaLora.Tests.Lora.GoldenModel;

namespace CudaLora.Tests.Lora;

/// <summary>Tiny models against PyTorch; what the files hold and the tolerances: tests/Golden/README.md.</summary>
public class GoldenModelTests
{
    public static TheoryData<string> Models => ["llama", "llama3-rope", "mistral-window", "qwen2", "qwen3", "gpt2"];

    [Theory]
    [MemberData(nameof(Models))]
    public void LogitsEqualPyTorchs(string name)
    {
        using var golden = SafetensorsFile.Open(Path.Combine(Folder(name), "full.safetensors"));
        using var model = CausalLM.Load(Folder(name));
        using var scope = TensorScope.Begin();
        var logits = model.Forward(Ints(golden, "input_ids"));
        Assert.Equal(Shape.Of(2, 20, 64), logits.Shape);
        Near(Values(golden, "logits"), logits.Span<float>(), 1e-4, "logits");
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void LossAndEveryGradientEqualPyTorchs(string name)
    {
        using var golden = SafetensorsFile.Open(Path.Combine(Folder(name), "full.safetensors"));
        using var model = CausalLM.Load(Folder(name));
        model.SetTrainable(true);
        using var scope = TensorScope.Begin();
        var loss = Loss(model, golden);
        var expected = Json(name).GetProperty("full").GetProperty("steps")[0].GetProperty("loss").GetDouble();
        Assert.Equal(expected, loss.Item(), 2e-5);
        loss.Backward();
        Assert.Equal(
            golden.Entries.Keys.Where(k => k.StartsWith("grad.", StringComparison.Ordinal)).Order(),
            model.Parameters().Select(p => "grad." + p.Path).Order());
        foreach (var parameter in model.Parameters())
            Near(Values(golden, "grad." + parameter.Path),
                Stored(model, parameter, parameter.Value.Grad!.ToArray()), 5e-5, $"grad.{parameter.Path}");
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void CheckpointingChangesNoBit(string name)
    {
        using var golden = SafetensorsFile.Open(Path.Combine(Folder(name), "full.safetensors"));
        using var model = CausalLM.Load(Folder(name));
        model.SetTrainable(true);
        var runs = new List<float[][]>();
        foreach (var checkpointing in (bool[])[false, true])
        {
            using var scope = TensorScope.Begin();
            model.GradientCheckpointing = checkpointing;
            model.ZeroGrad();
            Loss(model, golden).Backward();
            runs.Add(model.Parameters().Select(p => p.Value.Grad!.ToArray()).ToArray());
        }
        Assert.Equal(runs[0], runs[1]);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void TheCacheGivesTheLogitsOfTheWholeText(string name)
    {
        using var golden = SafetensorsFile.Open(Path.Combine(Folder(name), "full.safetensors"));
        using var model = CausalLM.Load(Folder(name));
        using var scope = TensorScope.Begin();
        var whole = Values(golden, "logits");
        var ids = Ints(golden, "input_ids").Span<int>().ToArray();
        using var cache = new KvCache(model.Config, 2, 24);
        // Rows of 7 and 4 tokens, padded to 7, then one token each.
        int[] counts = [7, 4];
        var width = 7;
        while (cache.Lengths[0] < 20)
        {
            var next = new int[2 * width];
            for (var b = 0; b < 2; b++)
            {
                for (var t = 0; t < counts[b]; t++)
                    next[(b * width) + t] = ids[(b * 20) + cache.Lengths[b] + t];
            }
            int[] before = cache.Lengths.ToArray();
            var logits = model.Logits(model.Hidden(Tensor.From(next, Shape.Of(2, width)), cache, counts));
            for (var b = 0; b < 2; b++)
            {
                for (var t = 0; t < counts[b]; t++)
                    Near(whole.AsSpan(((b * 20) + before[b] + t) * 64, 64).ToArray(),
                        logits.Span<float>().Slice(((b * width) + t) * 64, 64), 1e-4, $"row {b} token {before[b] + t}");
            }
            (counts, width) = ([1, 1], 1);
        }
        Assert.Equal([20, 17], cache.Lengths.ToArray());
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void PackedTextsDoNotSeeEachOther(string name)
    {
        using var golden = SafetensorsFile.Open(Path.Combine(Folder(name), "full.safetensors"));
        using var model = CausalLM.Load(Folder(name));
        using var scope = TensorScope.Begin();
        var ids = Ints(golden, "input_ids").Span<int>().ToArray();
        var whole = Values(golden, "logits");
        // The first 9 tokens of both rows in one row of 20, two of them padding.
        var packed = new int[20];
        var positions = new int[20];
        var segments = new int[20];
        for (var b = 0; b < 2; b++)
        {
            for (var t = 0; t < 9; t++)
            {
                var at = (b * 9) + t;
                (packed[at], positions[at], segments[at]) = (ids[(b * 20) + t], t, b);
            }
        }
        segments.AsSpan(18).Fill(-1);
        var row = Shape.Of(1, 20);
        var logits = model.Forward(
            Tensor.From(packed, row), Tensor.From(positions, row), Tensor.From(segments, row));
        for (var b = 0; b < 2; b++)
            Near(whole.AsSpan(b * 20 * 64, 9 * 64).ToArray(), logits.Span<float>().Slice(b * 9 * 64, 9 * 64), 1e-4,
                $"text {b}");
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void ASavedModelHoldsTheSameBytes(string name)
    {
        using var folder = new TemporaryFolder();
        using (var model = CausalLM.Load(Folder(name)))
            model.Save(folder.Path);
        using var before = SafetensorsFile.Open(Path.Combine(Folder(name), "model.safetensors"));
        using var after = SafetensorsFile.Open(folder.File("model.safetensors"));
        Assert.Equal(before.Entries.Keys.Order(StringComparer.Ordinal),
            after.Entries.Keys.Order(StringComparer.Ordinal));
        foreach (var entry in before.Entries.Values)
        {
            Assert.Equal(entry.Shape, after.Entry(entry.Name).Shape);
            Assert.True(before.Bytes(entry).SequenceEqual(after.Bytes(after.Entry(entry.Name))), entry.Name);
        }
        Assert.Equal(
            ModelConfig.Read(Folder(name)).ToString(), ModelConfig.Read(folder.Path).ToString());
    }
}
