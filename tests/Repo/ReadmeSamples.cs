using System.Globalization;
using CudaLora.Engine;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Runtime;
using CudaLora.Lora;
using CudaLora.Tests.Lora;
using KernelSource = CudaLora.Kernels.Ops.KernelSource;
using VectorAdd = CudaLora.Kernels.Ops.VectorAdd;

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
    public void AnyPtxRunsOnTheEmulator()
    {
        using var folder = new TemporaryFolder();
        File.WriteAllText(folder.File("add.ptx"), KernelSource.Read("VectorAdd"));
        InFolder(folder, AnyPtx);
        // Both operands are one 16-byte buffer: a sector each, and one written.
        Assert.Equal(
            "3 sectors, faults: \n2 4 6 8\n", Console.ToString().ReplaceLineEndings("\n"));
    }

    private void AnyPtx()
    {
        using var driver = new EmulatedDriver
        {
            Launched = report => Console.WriteLine($"{report.Counters.GlobalSectors} sectors, faults: {report.Fault}"),
        };
        using var context = CudaContext.Open(driver);
        using var module = CudaModule.Load(context, File.ReadAllText("add.ptx"), "add.ptx"); // any PTX text
        var kernel = module.Kernel<VectorAdd.Args>("vector_add_f32"); // a struct that is its parameter list
        using var a = context.Memory.Upload<float>([1, 2, 3, 4]);
        using var sum = context.Memory.Allocate<float>(4);
        kernel.Launch(context.Stream, new LaunchShape(Grid: 1, Block: 32), new(a.Pointer, a.Pointer, sum.Pointer, 4));
        Console.WriteLine(string.Join(' ', sum.ToArray()));
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
    public void TrainingLearnsFromMemory()
    {
        using var folder = new TemporaryFolder();
        CopyModel(folder);
        InFolder(folder, InProcess);
        var lines = Console.ToString().TrimEnd().ReplaceLineEndings("\n").Split('\n');
        Assert.StartsWith("Completed, 40 steps", lines[0], StringComparison.Ordinal);
        Assert.True(Score(lines[1]) > Score(lines[2]) + 1, $"{lines[1]}, {lines[2]}");
        Assert.True(File.Exists(folder.File("out/anna/adapter_model.safetensors")));

        static double Score(string line) => double.Parse(line.Split(' ')[^1], CultureInfo.InvariantCulture);
    }

    private void InProcess()
    {
        using var model = CausalLM.Load("models/TinyStories-656K");
        var tokenizer = Tokenizer.Load("models/TinyStories-656K");
        DataExample[] records =
            [new PromptExample("Who are you?", " I am Anna."), new PromptExample("Hello!", " Hello, friend.")];
        var encoded = new SftEncoder(tokenizer, ChatTemplate.For(tokenizer)).EncodeAll(records);
        var arguments = new TrainingArguments { OutputDir = "out/anna", MaxSteps = 40, LearningRate = 5e-3 };

        using var adapter = LoraAdapter.Create(model, new LoraConfig(), new Generator(1));
        var batches = new Batcher(encoded.Examples, arguments.TrainBatches(tokenizer.PadId));
        using var stop = new CancellationTokenSource(); // ends the run after the step in progress, with a checkpoint
        var result = new Trainer(arguments, new LoraFineTuning(adapter), new Sft(), batches).Run(stop.Token);
        Console.WriteLine($"{result.End}, {result.Steps} steps, loss {result.TrainLoss:F2}");

        var question = tokenizer.Encode("Who are you?");
        foreach (var answer in new[] { " I am Anna.", " I am Bert." })
        {
            var scores = model.LogProbs(question, tokenizer.Encode(answer, addSpecialTokens: false));
            Console.WriteLine($"log-probability of '{answer}': {scores.Sum():F2}");
        }
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
