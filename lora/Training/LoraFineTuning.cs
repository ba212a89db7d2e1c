namespace CudaLora.Lora;

/// <summary>Trains a LoRA adapter; the base stays frozen.</summary>
/// <param name="adapter">The adapter, active on its model.</param>
public sealed class LoraFineTuning(LoraAdapter adapter)
    : AdapterFineTuning(adapter, adapter.Model.Quantization is null ? "lora" : "qlora")
{
    /// <summary>The adapter that trains.</summary>
    public LoraAdapter Adapter => adapter;
}
