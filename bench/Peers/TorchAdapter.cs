using System.Text.Json;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace CudaLora.Peers;

/// <summary>A linear with LoRA as a TorchSharp module, as PEFT builds it around the linear that was there.</summary>
internal sealed class TorchLoraLinear : nn.Module<Tensor, Tensor>
{
    private readonly Linear baseLayer;
    private readonly double scale;

    public TorchLoraLinear(Linear linear, int rank, double scale)
        : base(nameof(TorchLoraLinear))
    {
        (baseLayer, this.scale) = (linear, scale);
        var (outputs, inputs) = (linear.weight.shape[0], linear.weight.shape[1]);
        LoraA = nn.Linear(inputs, rank, hasBias: false);
        LoraB = nn.Linear(rank, outputs, hasBias: false);
        RegisterComponents();
    }

    public Linear LoraA { get; }

    public Linear LoraB { get; }

    public override Tensor forward(Tensor x) =>
        baseLayer.forward(x) + LoraB.forward(LoraA.forward(x)) * scale;
}

/// <summary>A PEFT adapter folder put on the linears of a model.</summary>
internal static class TorchAdapter
{
    public static Dictionary<string, TorchLoraLinear> Load(IReadOnlyDictionary<string, Linear> linears, string folder)
    {
        using var config = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "adapter_config.json")));
        var rank = config.RootElement.GetProperty("r").GetInt32();
        var scale = config.RootElement.GetProperty("lora_alpha").GetDouble() / rank;
        var targets = config.RootElement.GetProperty("target_modules").EnumerateArray()
            .Select(target => target.GetString()!).ToHashSet();
        var layers = linears.Where(linear => targets.Contains(linear.Key[(linear.Key.LastIndexOf('.') + 1)..]))
            .ToDictionary(linear => linear.Key, linear => new TorchLoraLinear(linear.Value, rank, scale));
        using var mode = no_grad();
        var stored = TorchFiles.Read(Path.Combine(folder, "adapter_model.safetensors"));
        foreach (var (name, layer) in layers)
        {
            layer.LoraA.weight.copy_(stored[$"base_model.model.{name}.lora_A.weight"]);
            layer.LoraB.weight.copy_(stored[$"base_model.model.{name}.lora_B.weight"]);
        }
        foreach (var tensor in stored.Values)
            tensor.Dispose();
        return layers;
    }
}
