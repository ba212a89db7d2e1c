using System.Text.Json;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>
/// Ten AdamW steps of tiny models, in full and with LoRA, against PyTorch; files and tolerances:
/// tests/Golden/README.md.
/// </summary>
public class GoldenTrainingTests
{
    public static TheoryData<string> Models => GoldenModelTests.Models;

    public static MatrixTheoryData<string, string> Adapters => new(
        ["llama", "llama3-rope", "mistral-window", "qwen2", "qwen3", "gpt2"], ["lora", "rslora"]);

    [Theory]
    [MemberData(nameof(Models))]
    public void TenStepsOfFullTraining(string name)
    {
        using var golden = SafetensorsFile.Open(GoldenModel.File(name, "full.safetensors"));
        using var model = CausalLM.Load(GoldenModel.Folder(name));
        model.SetTrainable(true);
        Train(name, "full", model, golden, model.Parameters().ToArray());
        foreach (var parameter in model.Parameters())
        {
            var values = GoldenModel.Stored(model, parameter, parameter.Value.ToArray());
            var expected = GoldenModel.Values(golden, "trained." + parameter.Path);
            for (var i = 0; i < values.Length; i++)
                Assert.True(Math.Abs(expected[i] - values[i]) <= Tolerance(name, parameter, i, values.Length),
                    $"{parameter.Path}[{i}]: {expected[i]} but got {values[i]}");
        }
    }

    [Theory]
    [MemberData(nameof(Adapters))]
    public void LogitsGradientsAndTenStepsOfLora(string name, string run)
    {
        using var golden = SafetensorsFile.Open(GoldenModel.File(name, run + ".safetensors"));
        using var model = CausalLM.Load(GoldenModel.Folder(name));
        var adapters = Attach(model, name, run);
        var parameters = adapters.SelectMany(a => (Parameter[])[a.A, a.B]).ToArray();
        foreach (var parameter in parameters) parameter.Trainable = true;
        using (TensorScope.Begin())
        {
            var logits = model.Forward(GoldenModel.Ints(golden, "input_ids"));
            GoldenModel.Near(GoldenModel.Values(golden, "logits"), logits.Span<float>(), 1e-4, "logits");
        }
        using (TensorScope.Begin())
        {
            GoldenModel.Loss(model, golden).Backward();
            Assert.Equal(
                golden.Entries.Keys.Where(k => k.StartsWith("grad.", StringComparison.Ordinal)).Order(),
                parameters.Select(p => "grad.base_model.model." + p.Path).Order());
            foreach (var p in parameters)
                GoldenModel.Near(GoldenModel.Values(golden, "grad.base_model.model." + p.Path),
                    p.Value.Grad!.Span<float>(), 5e-5, $"grad.{p.Path}");
            Assert.All(model.Parameters(), p => Assert.Null(p.Value.Grad));
        }
        Train(name, run, model, golden, parameters);
        foreach (var p in parameters)
            GoldenModel.Near(GoldenModel.Values(golden, "trained.base_model.model." + p.Path),
                p.Value.Span<float>(), 5e-5, $"trained.{p.Path}");
        foreach (var adapter in adapters) adapter.Dispose();
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("gpt2")]
    public void MergedWeightsEqualPyTorchsAndComeBack(string name)
    {
        using var golden = SafetensorsFile.Open(GoldenModel.File(name, "lora.safetensors"));
        using var model = CausalLM.Load(GoldenModel.Folder(name));
        var adapters = Attach(model, name, "lora");
        var before = adapters.Select(a => a.Linear.Weight.Value.ToArray()).ToArray();
        foreach (var adapter in adapters) adapter.Merge();
        foreach (var adapter in adapters)
        {
            var weight = adapter.Linear.Weight;
            GoldenModel.Near(GoldenModel.Values(golden, "merged." + weight.Path),
                GoldenModel.Stored(model, weight, weight.Value.ToArray()), 1e-6, $"merged.{weight.Path}");
        }
        using (TensorScope.Begin())
        {
            // Merged and unmerged outputs agree to rounding.
            var logits = model.Forward(GoldenModel.Ints(golden, "input_ids"));
            GoldenModel.Near(GoldenModel.Values(golden, "logits"), logits.Span<float>(), 1e-4, "merged logits");
        }
        foreach (var (adapter, weights) in adapters.Zip(before))
        {
            adapter.Unmerge();
            GoldenModel.Near(weights, adapter.Linear.Weight.Value.Span<float>(), 1e-6, "unmerged");
            adapter.Dispose();
        }
    }

    [Fact]
    public void CheckpointingRepeatsTheDropoutOfTheAdapters()
    {
        using var golden = SafetensorsFile.Open(GoldenModel.File("llama", "lora.safetensors"));
        using var model = CausalLM.Load(GoldenModel.Folder("llama"));
        var results = new List<(float Loss, float[][] Gradients)>();
        foreach (var checkpointing in (bool[])[false, true])
        {
            model.Random = new Generator(9);
            model.Training = true;
            model.GradientCheckpointing = checkpointing;
            var adapters = Attach(model, "llama", "lora", dropout: 0.5, model.Random);
            var parameters = adapters.SelectMany(a => (Parameter[])[a.A, a.B]).ToArray();
            foreach (var parameter in parameters) parameter.Trainable = true;
            using var scope = TensorScope.Begin();
            var loss = GoldenModel.Loss(model, golden);
            loss.Backward();
            results.Add((loss.Item(), parameters.Select(p => p.Value.Grad!.ToArray()).ToArray()));
            foreach (var adapter in adapters) adapter.Dispose();
        }
        Assert.Equal(results[0].Loss, results[1].Loss);
        Assert.Equal(results[0].Gradients, results[1].Gradients);
        // Half of the adapters' inputs are dropped: the loss is not the one without dropout.
        Assert.True(Math.Abs(results[0].Loss - GoldenModel.Json("llama").GetProperty("lora").GetProperty("steps")[0]
            .GetProperty("loss").GetDouble()) > 1e-3);
    }

    private static List<LoraLinear> Attach(
        CausalLM model, string name, string run, double dropout = 0, Generator? random = null)
    {
        var folder = GoldenModel.File(name, run == "lora" ? "adapter" : "adapter-rslora");
        var config = LoraConfig.Read(folder);
        using var file = SafetensorsFile.Open(Path.Combine(folder, "adapter_model.safetensors"));
        var linears = model.Linears().ToDictionary(l => l.Path.Value);
        var adapters = new List<LoraLinear>();
        foreach (var target in TargetModules.Resolve(config, model.ModulePaths(), model.Config.Family))
        {
            var adapter = new LoraLinear(
                linears[target.Module.Path], Read("lora_A"), Read("lora_B"), target.Scale, dropout, random);
            adapter.Linear.Adapter = adapter;
            adapters.Add(adapter);

            Tensor Read(string part)
            {
                var entry = file.Entry($"base_model.model.{target.Module.Path}.{part}.weight");
                return Tensor.From(file.Span<float>(entry), Shape.Of((int)entry.Shape[0], (int)entry.Shape[1]));
            }
        }
        return adapters;
    }

    private static void Train(
        string name, string run, CausalLM model, SafetensorsFile golden, IReadOnlyList<Parameter> parameters)
    {
        var json = GoldenModel.Json(name);
        var settings = json.GetProperty("adamw");
        ParameterGroup[] groups =
            [new(parameters, settings.GetProperty("lr").GetDouble(), settings.GetProperty("weight_decay").GetDouble())];
        using var optimizer = new AdamW(groups);
        foreach (var step in json.GetProperty(run).GetProperty("steps").EnumerateArray())
        {
            using var scope = TensorScope.Begin();
            optimizer.ZeroGrad();
            var loss = GoldenModel.Loss(model, golden);
            loss.Backward();
            Assert.Equal(step.GetProperty("loss").GetDouble(), loss.Item(), 2e-5);
            var norm = GradientClip.Norm(groups);
            Assert.Equal(step.GetProperty("grad_norm").GetDouble(), norm, 1e-4);
            optimizer.Step(1, GradientClip.Scale(norm, settings.GetProperty("max_grad_norm").GetDouble()));
        }
        using var last = TensorScope.Begin();
        Assert.Equal(
            json.GetProperty(run).GetProperty("final_loss").GetDouble(), GoldenModel.Loss(model, golden).Item(), 2e-5);
    }

    // Where the true gradient is nothing but rounding, AdamW's update is too; see the README.
    private static double Tolerance(string name, Parameter parameter, int i, int count) => name switch
    {
        "gpt2" when parameter.Path.Value.EndsWith("c_attn.bias", StringComparison.Ordinal)
            && i >= count / 3 && i < 2 * count / 3 => 1e-2,
        "qwen2" when parameter.Path.Value.EndsWith("k_proj.bias", StringComparison.Ordinal) => 2e-4,
        _ => 5e-5,
    };
}

/// <summary>Reading the golden folders.</summary>
internal static class GoldenModel
{
    public static string Folder(string model) => Path.Combine(SharedData.Root, "tests", "Golden", model);

    public static string File(string model, string name) => Path.Combine(Folder(model), name);

    public static JsonElement Json(string model) =>
        JsonDocument.Parse(System.IO.File.ReadAllText(File(model, "golden.json"))).RootElement;

    public static float[] Values(SafetensorsFile file, string key) => file.Span<float>(file.Entry(key)).ToArray();

    public static Tensor Ints(SafetensorsFile file, string key) =>
        Tensor.From(file.Span<int>(file.Entry(key)), Shape.Of(2, 20));

    public static void Near(float[] expected, ReadOnlySpan<float> actual, double tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance,
                $"{what}[{i}]: {expected[i]} but got {actual[i]}");
    }

    /// <summary>Mean loss over the shifted labels, as Hugging Face's.</summary>
    public static Tensor Loss(CausalLM model, SafetensorsFile golden)
    {
        var labels = Ints(golden, "labels");
        var next = new int[40];
        for (var i = 0; i < 40; i++)
            next[i] = i % 20 == 19 ? TensorOps.IgnoredLabel : labels.Span<int>()[i + 1];
        var count = next.Count(label => label != TensorOps.IgnoredLabel);
        return model.Forward(Ints(golden, "input_ids")).CrossEntropy(Tensor.From(next, Shape.Of(2, 20)), 1f / count);
    }

    /// <summary>Values in the layout of the file: GPT-2's linear weights are (in, out) there.</summary>
    public static float[] Stored(CausalLM model, Parameter parameter, float[] values)
    {
        if (!model.Linears().Any(l => l.IsConv1D && l.Weight == parameter))
            return values;
        var (rows, columns) = (parameter.Value.Shape[0], parameter.Value.Shape[1]);
        var turned = new float[values.Length];
        for (var i = 0; i < rows; i++)
        {
            for (var j = 0; j < columns; j++)
                turned[(j * rows) + i] = values[(i * columns) + j];
        }
        return turned;
    }
}
