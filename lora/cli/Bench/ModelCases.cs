using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Files, and the bundled model: what a whole program does.</summary>
internal static class ModelCases
{
    private const int Tensors = 8;

    // A file of tensors in F32, written and read back.
    public static IEnumerable<BenchCase> Files(int shrink)
    {
        var side = 1024 / shrink;
        var bytes = (double)Tensors * side * side * sizeof(float);
        var name = $"{Tensors} tensors of {side} x {side}, F32";
        yield return new BenchCase("files", $"save safetensors, {name}", 2 * bytes, 0, () =>
        {
            var (file, values) = (new ScratchFile(), Values(side));
            return new BenchWork(() => Save(file.Path, values), [file, .. values]);
        });
        yield return new BenchCase("files", $"load safetensors, {name}", 2 * bytes, 0, () =>
        {
            var (file, values) = (new ScratchFile(), Values(side));
            Save(file.Path, values);
            return new BenchWork(() => Load(file.Path, values), [file, .. values]);
        });
    }

    /// <summary>Generation and a training step; none where no model is bundled.</summary>
    public static IEnumerable<BenchCase> Bundled(int shrink)
    {
        if (!Directory.Exists(BundledExample.Model)) yield break;
        var config = ModelConfig.Read(Path.Combine(BundledExample.Model, "config.json"));
        // The matrices a token is multiplied with; norms and the embedding's row are nothing beside them.
        var (hidden, inner) = (config.HiddenSize, config.IntermediateSize);
        double matrices = (double)hidden * (config.VocabSize + (config.Layers * ((4 * hidden) + (3 * inner))));

        var fresh = 64 / shrink;
        yield return new BenchCase(
            "model", $"generate {fresh} tokens, bundled model", 4 * matrices * fresh, 2 * matrices * fresh,
            () => Generation(fresh))
        {
            Tokens = fresh,
        };
        var (rows, length) = (Math.Max(1, 8 / shrink), 64);
        double tokens = rows * length;
        // Forward, and the gradients of activations: the frozen weights have none.
        yield return new BenchCase(
            "model", $"LoRA training step of {rows} x {length} tokens, bundled model", 8 * matrices,
            4 * matrices * tokens, () => Step(rows, length))
        {
            Tokens = tokens,
        };
    }

    private static BenchWork Generation(int tokens)
    {
        var model = CausalLM.Load(BundledExample.Model);
        var options = new SamplingOptions { MaxNewTokens = tokens, Temperature = 0, StopIds = [] };
        int[] prompt = [10, 11, 12, 13];
        return new BenchWork(() => model.Generate(prompt, options), model);
    }

    private static BenchWork Step(int rows, int length)
    {
        var model = CausalLM.Load(BundledExample.Model);
        model.Training = true;
        var config = new LoraConfig { R = 8, LoraAlpha = 16, TargetModules = ModuleSelector.AllLinear };
        var adapter = LoraAdapter.Create(model, config, new Generator(1));
        var method = new LoraFineTuning(adapter);
        var optimizer = new AdamW(method.Groups(new TrainingArguments { OutputDir = "unused", LearningRate = 1e-4 }));
        var (objective, batch, inputs, random) = (new Sft(), new Batch(), new InputSet(Device.Cpu), new Random(1));
        var texts = Enumerable.Range(0, 4 * rows)
            .Select(_ => Enumerable.Range(0, length).Select(_ => random.Next(3, model.Config.VocabSize)).ToArray())
            .Select(ids => new SftExample(ids, ids)).ToArray();
        var data = new Batcher(texts, new BatcherOptions { BatchSize = rows });
        return new BenchWork(
            () =>
            {
                data.Next(batch);
                optimizer.ZeroGrad();
                using var scope = TensorScope.Begin();
                objective.Loss(model, batch, 1f / batch.LabelCount, inputs).Backward();
                optimizer.Step(1, GradientClip.Scale(GradientClip.Norm(optimizer.Groups), 1));
            },
            optimizer, inputs, adapter, model);
    }

    private static void Save(string path, Tensor[] values)
    {
        var writer = new SafetensorsWriter();
        for (var i = 0; i < values.Length; i++) writer.Add($"tensor.{i}", values[i]);
        writer.Save(path);
    }

    private static void Load(string path, Tensor[] values)
    {
        using var file = SafetensorsFile.Open(path);
        for (var i = 0; i < values.Length; i++) file.CopyToF32(file.Entry($"tensor.{i}"), values[i].Span<float>());
    }

    private static Tensor[] Values(int side)
    {
        var values = new Tensor[Tensors];
        for (var i = 0; i < Tensors; i++)
        {
            values[i] = Tensor.Empty(Shape.Of(side, side));
            values[i].Span<float>().Fill(i + 0.5f);
        }
        return values;
    }

    private sealed class ScratchFile : IDisposable
    {
        private readonly DirectoryInfo folder = Directory.CreateTempSubdirectory("cudalora-bench");

        public string Path => System.IO.Path.Combine(folder.FullName, "bench.safetensors");

        public void Dispose() => folder.Delete(recursive: true);
    }
}
