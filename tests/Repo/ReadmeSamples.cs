using CudaLora.Engine;
using CudaLora.Lora;
using CudaLora.Tests.Lora;

namespace CudaLora.Tests.Repo;

/// <summary>
/// The C# blocks of README.md, word for word: the body of each private method is one block, and its test runs it. To
/// change a block, change it here and copy the body there. Samples name files from the current folder, so no other test
/// runs beside them.
/// </summary>
[Collection(nameof(ReadmeSamples))]
[CollectionDefinition(nameof(ReadmeSamples), DisableParallelization = true)]
public class ReadmeSamples
{
    // Takes the place of System.Console in the samples.
    private StringWriter Console { get; } = new();

    [Fact]
    public void XorLearnsXor()
    {
        Xor();
        var lines = Console.ToString().TrimEnd().ReplaceLineEndings("\n").Split('\n');
        Assert.Equal("0^0 = 0.00  0^1 = 1.00  1^0 = 1.00  1^1 = 0.00", lines[^1].Replace("-0.00", "0.00"));
    }

    private void Xor()
    {
        var random = new Generator(seed: 1);
        using var hidden = new Linear(2, 8, random);
        using var output = new Linear(8, 1, random);
        using var adam = new AdamW([.. hidden.Parameters(), .. output.Parameters()], learningRate: 0.05);

        using var x = Tensor.From(new float[,] { { 0, 0 }, { 0, 1 }, { 1, 0 }, { 1, 1 } });
        using var y = Tensor.From(new float[,] { { 0 }, { 1 }, { 1 }, { 0 } });

        Tensor Predict(Tensor input) => output.Forward(hidden.Forward(input).Gelu());

        for (var step = 1; step <= 200; step++)
        {
            using var scope = TensorScope.Begin(); // releases the step's tensors
            var error = Predict(x) - y;
            var loss = (error * error).Mean();
            adam.ZeroGrad();
            loss.Backward();
            adam.Step();
            if (step % 50 == 0)
                Console.WriteLine($"step {step,3}  loss {loss.Item():F6}");
        }

        using var last = TensorScope.Begin();
        var p = Predict(x).ToArray();
        Console.WriteLine($"0^0 = {p[0]:F2}  0^1 = {p[1]:F2}  1^0 = {p[2]:F2}  1^1 = {p[3]:F2}");
    }

    [Fact]
    public void EmbeddingSwapsAdapters()
    {
        using var folder = new TemporaryFolder();
        var model = CopyModel(folder);
        using (var made = CausalLM.Load(folder.File(model)))
        {
            foreach (var name in (string[])["stories", "poems"])
            {
                using var adapter = LoraAdapter.Create(made, new LoraConfig(), new Generator(1));
                TinyModel.Train(adapter, (ulong)name.Length);
                adapter.Save(folder.File(Path.Combine("out", name)));
            }
        }
        InFolder(folder, Embedding);
        var texts = Console.ToString().ReplaceLineEndings("\n").Split('\n');
        Assert.NotEqual(texts[0], texts[1]);
    }

    private void Embedding()
    {
        using var model = CausalLM.Load("models/TinyStories-656K");
        var tokenizer = Tokenizer.Load("models/TinyStories-656K");
        using var stories = LoraAdapter.Load(model, "out/stories", "stories");
        using var poems = LoraAdapter.Load(model, "out/poems", "poems"); // the last one loaded is active

        var prompt = tokenizer.Encode("Once upon a time");
        var options = new SamplingOptions { MaxNewTokens = 60, Temperature = 0 };
        Console.WriteLine(tokenizer.Decode(model.Generate(prompt, options).Tokens));
        stories.Activate(); // a few pointer writes: the base is shared
        Console.WriteLine(tokenizer.Decode(model.Generate(prompt, options).Tokens));
    }

    [Fact]
    public void PpoFollowsARewardOfYourOwn()
    {
        using var folder = new TemporaryFolder();
        CopyModel(folder);
        InFolder(folder, OwnReward);
        Assert.StartsWith("20 steps", Console.ToString(), StringComparison.Ordinal);
        Assert.True(File.Exists(folder.File("out/brief/adapter_model.safetensors")));
    }

    private void OwnReward()
    {
        using var model = CausalLM.Load("models/TinyStories-656K");
        var tokenizer = Tokenizer.Load("models/TinyStories-656K");
        using var policy = LoraAdapter.Create(model, new LoraConfig(), new Generator(1));
        using var values = new ValueHead(model);

        var brief = new FunctionReward("brief", sample => -sample.ResponseIds.Count); // any C# of yours
        var prompt = new PromptRecord(new PromptExample("Once upon a time", ""));
        var run = new OnlineRun(
            [(prompt, tokenizer.Encode("Once upon a time"))], tokenizer, model.Generation.EosTokenIds, brief);
        var arguments = new TrainingArguments { OutputDir = "out/brief", MaxSteps = 20, LearningRate = 1e-3 };
        var options = new PpoOptions { Prompts = 16, ResponseLength = 12 };
        var result = new PpoTrainer(arguments, options, new PolicyFineTuning(policy, values), run).Run();
        Console.WriteLine($"{result.Steps} steps, {result.TokensPerSecond:F0} tokens/s");
    }

    private static string CopyModel(TemporaryFolder folder)
    {
        var model = Path.Combine("models", "TinyStories-656K");
        Directory.CreateDirectory(folder.File(model));
        foreach (var file in Directory.GetFiles(SourceTree.Full("lora/cli/bundled/model")))
            File.Copy(file, Path.Combine(folder.File(model), Path.GetFileName(file)));
        return model;
    }

    private static void InFolder(TemporaryFolder folder, Action work)
    {
        var former = Directory.GetCurrentDirectory();
        try
        {
            Directory.SetCurrentDirectory(folder.Path);
            work();
        }
        finally
        {
            Directory.SetCurrentDirectory(former);
        }
    }
}
