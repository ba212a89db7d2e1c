using BenchmarkDotNet.Attributes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Bench.Steps;

/// <summary>
/// Model and adapter folders, written to and read from the page cache of the temporary folder's disk. GB/s counts the
/// file once and memory once.
/// </summary>
[Config(typeof(BenchConfig))]
public class FilesBench
{
    private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("cudalora-bench");
    private CausalLM model = null!;
    private LoraAdapter adapter = null!;
    private string modelFolder = "";
    private string adapterFolder = "";

    /// <summary>Sizes of the model.</summary>
    public sealed record Model(int Hidden, int Inner, int Layers, int Vocabulary) : IWork
    {
        private const int Rank = 16;

        internal double ModelValues =>
            (2.0 * Vocabulary * Hidden) + (Layers * ((4.0 * Hidden * Hidden) + (3.0 * Hidden * Inner)));

        internal double AdapterValues =>
            Layers * Rank * ((4.0 * 2 * Hidden) + (3.0 * (Hidden + Inner)));

        internal LoraConfig Adapter =>
            new() { R = Rank, LoraAlpha = 2 * Rank, TargetModules = ModuleSelector.AllLinear };

        internal ModelConfig Config => SmallLlama.Config with
        {
            HiddenSize = Hidden,
            IntermediateSize = Inner,
            Layers = Layers,
            Heads = Hidden / 64,
            KeyValueHeads = Hidden / 64,
            HeadDim = 64,
            VocabSize = Vocabulary,
            TieWordEmbeddings = false,
        };

        Work IWork.Of(string method)
        {
            var values = method.EndsWith("Adapter", StringComparison.Ordinal) ? AdapterValues : ModelValues;
            // In a narrow file a value has two bytes.
            return new Work(0, values * (method == nameof(LoadBf16Model) ? 2 + 4 : 4 + 4));
        }

        /// <inheritdoc/>
        public override string ToString() => $"{Layers} x {Hidden}";
    }

    /// <summary>Models measured.</summary>
    public static IEnumerable<Model> Models => BenchArguments.Full
        ? [new(512, 1408, 8, 8192), new(256, 704, 4, 2048), new(1024, 2816, 12, 32000)]
        : [new(512, 1408, 8, 8192)];

    /// <summary>The model.</summary>
    [ParamsSource(nameof(Models))]
    public Model Case { get; set; } = null!;

    private string Narrow => Path.Combine(folder.FullName, "bf16");

    /// <summary>Makes the model, the adapter and the files to read.</summary>
    [GlobalSetup]
    public void Setup()
    {
        (modelFolder, adapterFolder) = (Path.Combine(folder.FullName, "f32"), Path.Combine(folder.FullName, "adapter"));
        model = CausalLM.Create(Case.Config, 1);
        model.Save(Narrow, SafetensorsDType.BF16);
        SaveModel();
        adapter = LoraAdapter.Create(model, Case.Adapter, new Generator(1));
        SaveAdapter();
        adapter.Deactivate();
    }

    /// <summary>Releases the model and deletes the files.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        adapter.Dispose();
        model.Dispose();
        folder.Delete(recursive: true);
    }

    /// <summary>model.safetensors and its config, F32, replaced atomically.</summary>
    [Benchmark]
    public void SaveModel() => model.Save(modelFolder);

    /// <summary>A model of F32 files.</summary>
    [Benchmark]
    public void LoadModel() => CausalLM.Load(modelFolder).Dispose();

    /// <summary>A model of BF16 files, widened.</summary>
    [Benchmark]
    public void LoadBf16Model() => CausalLM.Load(Narrow).Dispose();

    /// <summary>A PEFT folder, rank 16 on all linear layers.</summary>
    [Benchmark]
    public void SaveAdapter() => adapter.Save(adapterFolder);

    /// <summary>A PEFT folder put on a model.</summary>
    [Benchmark]
    public void LoadAdapter() => LoraAdapter.Load(model, adapterFolder).Dispose();
}
