using System.Text.Json;
using CudaLora.Engine;
using CudaLora.Lora;
using CudaLora.Tests.Ops;

namespace CudaLora.Tests.Lora;

/// <summary>Prefix tuning, prompt tuning and P-tuning.</summary>
public sealed class VirtualTokenTests : IDisposable
{
    private static readonly int[] Text = [3, 1, 4, 1, 5];

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    // Tokens in front that begin as a text are that text: the model must answer as if it had read it. This pins the
    // positions, the layout of the prefix and its rotation at once.
    [Theory]
    [InlineData(VirtualTokenKind.Prefix, ModelFamily.Llama)]
    [InlineData(VirtualTokenKind.Prefix, ModelFamily.Qwen3)]
    [InlineData(VirtualTokenKind.Prefix, ModelFamily.Gpt2)]
    [InlineData(VirtualTokenKind.Prompt, ModelFamily.Llama)]
    [InlineData(VirtualTokenKind.Prompt, ModelFamily.Gpt2)]
    public void TokensThatBeginAsATextAreThatText(VirtualTokenKind kind, ModelFamily family)
    {
        using var model = TinyModel.Create(family);
        int[] ids = [9, 2, 6, 5];
        var expected = Logits(model, [.. Text, .. ids], 1)[(Text.Length * 20)..];
        using var adapter = VirtualTokenAdapter.Create(model, Config(kind), new Generator(5));
        adapter.BeginAs(Text);
        Near(expected, Logits(model, ids, 1));
        // Two rows see the same.
        Near([.. expected, .. expected], Logits(model, [.. ids, .. ids], 2));
        // Padding on the right does not matter, also up to the end of the context.
        using var scope = TensorScope.Begin();
        using var noGrad = GradMode.NoGrad();
        int[] padded = [.. ids, .. new int[16 - Text.Length - ids.Length]];
        var all = model.Forward(
            Tensor.From(padded, Shape.Of(1, padded.Length)), lengths: Tensor.From([ids.Length], Shape.Of(1)));
        Near(expected, all.ToArray()[..expected.Length]);
        var full = model.Forward(
            Tensor.From(padded, Shape.Of(1, padded.Length)), lengths: Tensor.From([padded.Length], Shape.Of(1)));
        Near(model.Forward(Tensor.From(padded, Shape.Of(1, padded.Length))).ToArray(), full.ToArray());
    }

    [Theory]
    [InlineData(VirtualTokenKind.Prefix)]
    [InlineData(VirtualTokenKind.Prompt)]
    public void GenerationSeesThemOnce(VirtualTokenKind kind)
    {
        using var model = TinyModel.Create();
        var options = new SamplingOptions { Temperature = 0, MaxNewTokens = 5, StopIds = [] };
        int[][] prompts = [[9, 2], [6, 5, 3]];
        var expected = model.Generate(prompts.Select(p => (IReadOnlyList<int>)[.. Text, .. p]).ToArray(), options);
        using var adapter = VirtualTokenAdapter.Create(model, Config(kind), new Generator(5));
        adapter.BeginAs(Text);
        var actual = model.Generate(prompts, options);
        Assert.Equal(expected.Select(c => c.Tokens), actual.Select(c => c.Tokens));
        Assert.Contains("leave room", Assert.Throws<UserErrorException>(
            () => model.Generate(Enumerable.Repeat(1, 11).ToArray(), options)).Message);
    }

    [Theory]
    [InlineData(VirtualTokenKind.Prefix, false, false, false)]
    [InlineData(VirtualTokenKind.Prefix, true, false, false)]
    [InlineData(VirtualTokenKind.Prefix, true, false, true)]
    [InlineData(VirtualTokenKind.Prompt, false, false, true)]
    [InlineData(VirtualTokenKind.PTuning, false, false, false)]
    [InlineData(VirtualTokenKind.PTuning, false, true, true)]
    public void TheyTrainAndAreHeldByTheirFile(VirtualTokenKind kind, bool projected, bool lstm, bool checkpointing)
    {
        using var model = TinyModel.Create();
        var before = TinyModel.Logits(model);
        var config = Config(kind) with { PrefixProjection = projected, Lstm = lstm };
        using var adapter = VirtualTokenAdapter.Create(model, config, new Generator(5));
        var method = new AdapterFineTuning(adapter, "prompt");
        var (start, end) = MethodRuns.Train(method, folder.Path, 40, 3e-2, checkpointing);
        Assert.True(end < start - 0.05, $"{start} to {end}");
        var logits = TinyModel.Logits(model);
        adapter.Deactivate();
        Assert.Equal(before, TinyModel.Logits(model));
        using (var file = SafetensorsFile.Open(folder.File("adapter_model.safetensors")))
        {
            var entry = Assert.Single(file.Entries.Values);
            // Two layers of keys and values of one head of 4.
            Assert.Equal("prompt_embeddings", entry.Name);
            Assert.Equal([5, kind == VirtualTokenKind.Prefix ? 16 : 8], entry.Shape.Select(d => (int)d));
        }
        using var loaded = AdapterFolder.Load(model, folder.Path);
        Near(logits, TinyModel.Logits(model));
        Assert.Contains("cannot be merged", Assert.Throws<UserErrorException>(loaded.Merge).Message);
        using var json = JsonDocument.Parse(File.ReadAllText(folder.File(LoraConfig.FileName)));
        var root = json.RootElement;
        Assert.Equal(5, root.GetProperty("num_virtual_tokens").GetInt32());
        Assert.Equal((kind == VirtualTokenKind.Prefix ? 4 : 8, kind == VirtualTokenKind.Prefix ? 1 : 2),
            (root.GetProperty("token_dim").GetInt32(), root.GetProperty("num_attention_heads").GetInt32()));
    }

    [Theory]
    [InlineData(VirtualTokenKind.Prefix, true)]
    [InlineData(VirtualTokenKind.PTuning, false)]
    public void AResumedEncoderGoesOnBitIdentically(VirtualTokenKind kind, bool projected)
    {
        using var model = TinyModel.Create();
        var whole = Run(null, int.MaxValue);
        Run(folder.Path, 3);
        Assert.Equal(whole, Run(folder.Path, int.MaxValue));

        float[] Run(string? output, int stopAfter)
        {
            using var other = new TemporaryFolder();
            var random = new Generator(42);
            var config = Config(kind) with { PrefixProjection = projected };
            using var adapter = VirtualTokenAdapter.Create(model, config, random);
            var arguments = new TrainingArguments
            {
                OutputDir = output ?? other.Path,
                MaxSteps = 6,
                LearningRate = 1e-2,
                SaveStrategy = IntervalStrategy.No,
                ResumeFromCheckpoint = output is not null && stopAfter > 6 ? "true" : null,
            };
            using var stop = new CancellationTokenSource();
            new Trainer(
                arguments, new AdapterFineTuning(adapter, "prompt"), new Sft(), MethodRuns.Batches(), null, random,
                new MethodRuns.StopAt(stopAfter, stop)).Run(stop.Token);
            return TinyModel.Logits(model);
        }
    }

    // Against finite differences: sigmoid, tanh and ReLU made of other ops, and the LSTM that uses them.
    [Fact]
    public void TheEncodersGradientsAreTheirs()
    {
        using var scope = TensorScope.Begin();
        var x = GradientCheck.Leaf(1, Shape.Of(3, 4));
        Near(x.ToArray().Select(v => (float)(1 / (1 + Math.Exp(-v)))).ToArray(), Squash.Sigmoid(x).ToArray());
        Near(x.ToArray().Select(v => (float)Math.Tanh(v)).ToArray(), Squash.Tanh(x).ToArray());
        Near(x.ToArray().Select(v => Math.Max(v, 0)).ToArray(), Squash.Relu(x).ToArray());
        GradientCheck.Run(() => Squash.Tanh(x), x);
        GradientCheck.Run(() => Squash.Sigmoid(x), x);
        using var lstm = new Lstm(
            new ParameterPath("lstm"), 4, 3, 2, 0, new RandomParameters(new Generator(3)), new Generator(4));
        lstm.SetTrainable(true);
        GradientCheck.Run(() => lstm.Forward(x), [x, .. lstm.Parameters().Select(p => p.Value)]);
    }

    // torch.nn.LSTM: gates, directions, layers, gradients.
    [Fact]
    public void TheLstmIsPyTorchs()
    {
        using var golden = new MethodGolden("lstm");
        using var scope = TensorScope.Begin();
        using var lstm = new Lstm(
            new ParameterPath("lstm"), 4, 3, 2, 0, new RandomParameters(new Generator(3)), new Generator(4));
        lstm.SetTrainable(true);
        foreach (var parameter in lstm.Parameters())
            parameter.Value.CopyFrom(golden.Read(parameter.Path.Name));
        var x = golden.Read("x");
        x.RequiresGrad = true;
        var y = lstm.Forward(x);
        golden.Close("y", y);
        y.Backward(golden.Read("dy"));
        golden.Close("dx", x.Grad!);
        Assert.Equal(16, lstm.Parameters().Count());
        foreach (var parameter in lstm.Parameters())
            golden.Close("d" + parameter.Path.Name, parameter.Value.Grad!);
    }

    [Fact]
    public void ImpossibleCombinationsNameBothSettings()
    {
        using var model = TinyModel.Create();
        Refused(() => Create(Config(VirtualTokenKind.Prefix) with { Count = 16 }), "num_virtual_tokens", "context");
        Refused(
            () => Create(Config(VirtualTokenKind.Prefix) with { PrefixProjection = true }).BeginAs(Text),
            "prefix_projection", "text");
        using var adapter = Create(Config(VirtualTokenKind.Prompt));
        Refused(
            () => model.Forward(
                Tensor.From([1, 2], Shape.Of(1, 2)), segments: Tensor.From([0, 1], Shape.Of(1, 2))),
            "num_virtual_tokens", "packing");
        Refused(
            () => model.Forward(Tensor.From(new int[12], Shape.Of(1, 12))), "context of 16 tokens, but has 17");

        VirtualTokenAdapter Create(VirtualTokenConfig config) =>
            VirtualTokenAdapter.Create(model, config, new Generator(5));

        static void Refused(Action action, params string[] parts)
        {
            var error = Assert.Throws<UserErrorException>(action);
            Assert.All(parts, part => Assert.Contains(part, error.Message));
        }
    }

    private static VirtualTokenConfig Config(VirtualTokenKind kind) =>
        new() { Kind = kind, Count = Text.Length, EncoderHiddenSize = 6 };

    private static float[] Logits(CausalLM model, int[] ids, int rows)
    {
        using var scope = TensorScope.Begin();
        using var noGrad = GradMode.NoGrad();
        return model.Forward(Tensor.From(ids, Shape.Of(rows, ids.Length / rows))).ToArray();
    }

    private static void Near(float[] expected, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], 2e-5);
    }
}
