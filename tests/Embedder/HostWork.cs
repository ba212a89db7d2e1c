using System.Globalization;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Embedder;

/// <summary>What a host does with the libraries: generate, train an adapter, save it, load it again.</summary>
internal static class HostWork
{
    /// <summary>Lines that are the same wherever it runs.</summary>
    /// <param name="modelFolder">In Hugging Face layout.</param>
    /// <param name="data">Records to learn from.</param>
    /// <param name="output">Folder of the adapter.</param>
    public static IEnumerable<string> Run(string modelFolder, string data, string output)
    {
        using var model = CausalLM.Load(modelFolder);
        var tokenizer = Tokenizer.Load(modelFolder);
        var prompt = tokenizer.Encode("The dog");
        var options = new SamplingOptions { MaxNewTokens = 12, Temperature = 0 };
        yield return tokenizer.Decode(model.Generate(prompt, options).Tokens);

        var encoder = new SftEncoder(tokenizer, ChatTemplate.For(tokenizer));
        var examples = encoder.EncodeAll(DataFile.Load(data).Take(32)).Examples;
        var arguments = new TrainingArguments { OutputDir = output, MaxSteps = 3, LearningRate = 1e-3 };
        using (var adapter = LoraAdapter.Create(model, new LoraConfig(), new Generator(1)))
        {
            var batches = new Batcher(examples, new BatcherOptions { PadId = tokenizer.PadId ?? 0 });
            var result = new Trainer(arguments, new LoraFineTuning(adapter), new Sft(), batches).Run();
            yield return string.Create(CultureInfo.InvariantCulture, $"{result.Steps} steps, {result.TrainLoss:F2}");
        }
        using var loaded = LoraAdapter.Load(model, output, "mine");
        yield return tokenizer.Decode(model.Generate(prompt, options).Tokens);
    }
}
