using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// The value of a state, a linear function of its hidden state: TRL's <c>v_head.summary</c>, in F32 and saved as
/// LLaMA-Factory does, beside the adapter. It begins at 0, which expects nothing.
/// </summary>
public sealed class ValueHead : Module
{
    /// <summary>Name of the file in an adapter folder.</summary>
    public const string FileName = "value_head.safetensors";

    private readonly Linear summary;

    /// <summary>A head for a model; it belongs to the caller.</summary>
    public ValueHead(CausalLM model)
        : base(new ParameterPath("v_head"))
    {
        var placement = model.Placement with { Weights = DType.F32 };
        summary = Child(new Linear(
            Path / "summary", model.Config.HiddenSize, 1, true,
            placement.Device.Kind == DeviceKind.Cpu
                ? new RandomParameters(new Generator(0))
                : new DeviceParameters(new RandomParameters(new Generator(0)), placement.Device, DType.F32), 0f));
        foreach (var parameter in Parameters())
            parameter.Value.Clear();
        SetTrainable(true);
    }

    /// <summary>Values (n, K) of hidden states (n, K, C).</summary>
    public Tensor Forward(Tensor hidden)
    {
        var values = summary.Forward(hidden.DType == DType.F32 ? hidden : hidden.Cast(DType.F32));
        return values.Reshape(Shape.Of(hidden.Shape[0], hidden.Shape[1]));
    }

    /// <summary>Writes <see cref="FileName"/> into a folder.</summary>
    public void Save(string folder)
    {
        var writer = new SafetensorsWriter();
        foreach (var parameter in Parameters())
            writer.Add(parameter.Path.Value, parameter.Value, SafetensorsDType.F32);
        writer.Metadata["format"] = "pt";
        writer.Save(System.IO.Path.Combine(folder, FileName));
    }

    /// <summary>Reads what <see cref="Save"/> wrote.</summary>
    public void Restore(string folder)
    {
        using var file = SafetensorsFile.Open(System.IO.Path.Combine(folder, FileName));
        using var scope = TensorScope.Begin();
        foreach (var parameter in Parameters())
        {
            var values = Tensor.Empty(parameter.Value.Shape, device: Device.Cpu);
            file.CopyToF32(file.Entry(parameter.Path.Value), values.Span<float>());
            parameter.Value.Put(values);
        }
    }
}
