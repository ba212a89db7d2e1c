using CudaLora.Engine;
using CudaLora.Lora;
using TorchSharp;

namespace CudaLora.Peers;

/// <summary>
/// Model and adapter files, in the page cache, into memory of one's own: every value must be the same on both sides.
/// </summary>
internal static class LoadPeer
{
    public static void Run(Contest contest)
    {
        var folder = Directory.CreateTempSubdirectory("cudalora-peers").FullName;
        try
        {
            var small = new LlamaSize(
                Vocabulary: 2048, Hidden: 256, Inner: 768, Layers: 4, Heads: 8, Batch: 1, Tokens: 128);
            var large = small with { Vocabulary = 8192, Hidden = 512, Inner = 1408, Layers = 8 };
            using var model = CausalLM.Create(EngineLlama.Config(large), 1);
            Model(contest, model, Path.Combine(folder, "f32"), SafetensorsDType.F32);
            Model(contest, model, Path.Combine(folder, "bf16"), SafetensorsDType.BF16);
            Adapter(contest, model, Path.Combine(folder, "large"), 16);
            using var smallModel = CausalLM.Create(EngineLlama.Config(small), 1);
            Adapter(contest, smallModel, Path.Combine(folder, "small"), 8);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Model(Contest contest, CausalLM model, string folder, SafetensorsDType type)
    {
        model.Save(folder, type);
        var path = Path.Combine(folder, "model.safetensors");
        var bytes = new FileInfo(path).Length;

        void Ours() => CausalLM.Load(folder).Dispose();

        void Peer() => Release(TorchFiles.Read(path).Values);

        double Difference()
        {
            using var mine = CausalLM.Load(folder);
            var theirs = TorchFiles.Read(path);
            var worst = mine.Parameters().Max(p => Distance(p.Value, theirs[p.Path.Value]));
            Release(theirs.Values);
            return worst;
        }

        contest.Run(
            "load", $"model of {bytes >> 20} MiB, {type}", Ours, Peer, Difference, 0, Work.Bytes(bytes));
    }

    private static void Adapter(Contest contest, CausalLM model, string folder, int rank)
    {
        var random = new Random(5);
        using (var made = LoraAdapter.Create(
            model, new LoraConfig { R = rank, LoraAlpha = 2 * rank, TargetModules = ModuleSelector.AllLinear },
            new Generator(1)))
        {
            // B begins as zeros, which would agree with whatever is not read.
            foreach (var layer in made.Layers)
            {
                foreach (ref var value in layer.B.Value.Span<float>())
                    value = random.NextSingle();
            }
            made.Save(folder);
        }
        var bytes = new FileInfo(Path.Combine(folder, "adapter_model.safetensors")).Length;
        var linears = model.Linears().ToDictionary(linear => linear.Path.Value, Linear);

        void Ours() => LoraAdapter.Load(model, folder).Dispose();

        void Peer()
        {
            foreach (var layer in TorchAdapter.Load(linears, folder).Values)
                Release(layer);
        }

        double Difference()
        {
            using var mine = LoraAdapter.Load(model, folder);
            var theirs = TorchAdapter.Load(linears, folder);
            if (theirs.Count != mine.Layers.Count)
                return double.NaN;
            var worst = mine.Layers.Max(layer =>
            {
                // Paths of the parts are PEFT's: PATH.lora_A.weight.
                var path = layer.A.Path.Value;
                var peer = theirs[path[..path.IndexOf(".lora_A", StringComparison.Ordinal)]];
                return Math.Max(
                    Distance(layer.A.Value, peer.LoraA.weight), Distance(layer.B.Value, peer.LoraB.weight));
            });
            foreach (var layer in theirs.Values)
                Release(layer);
            return worst;
        }

        contest.Run(
            "load", $"adapter of {bytes >> 10} KiB on {linears.Count - 1} linears, r {rank}", Ours, Peer, Difference, 0,
            Work.Bytes(bytes));
        foreach (var linear in linears.Values)
            linear.Dispose();
    }

    private static TorchSharp.Modules.Linear Linear(Linear linear)
    {
        var module = torch.nn.Linear(linear.InFeatures, linear.OutFeatures, hasBias: false);
        using var mode = torch.no_grad();
        using var values = torch.tensor(linear.Weight.Value.ToArray(), [linear.OutFeatures, linear.InFeatures]);
        module.weight.copy_(values);
        return module;
    }

    private static double Distance(Tensor ours, torch.Tensor peer)
    {
        var expected = peer.data<float>().ToArray();
        return ours.ToArray().Zip(expected, (a, b) => (double)Math.Abs(a - b)).Max();
    }

    // Not its base, which the next one is put around.
    private static void Release(TorchLoraLinear layer)
    {
        layer.LoraA.Dispose();
        layer.LoraB.Dispose();
    }

    private static void Release(IEnumerable<torch.Tensor> tensors)
    {
        foreach (var tensor in tensors)
            tensor.Dispose();
    }
}
