namespace CudaLora.Engine;

/// <summary>
/// Dotted name of a module or parameter. One string is the safetensors key, the PEFT target name, the prefix of its
/// errors and its name in logs.
/// </summary>
/// <param name="Value">The path: <c>model.layers.0.self_attn.q_proj</c>; empty for the root.</param>
public readonly record struct ParameterPath(string Value)
{
    /// <summary>The root path.</summary>
    public static ParameterPath Root => new("");

    /// <summary>Last component.</summary>
    public string Name => Value[(Value.LastIndexOf('.') + 1)..];

    /// <summary>This path with one more component.</summary>
    public static ParameterPath operator /(ParameterPath path, string name) => path.Child(name);

    /// <summary>This path with an index as one more component.</summary>
    public static ParameterPath operator /(ParameterPath path, int index) => path.Child($"{index}");

    /// <summary>This path with one more component.</summary>
    public ParameterPath Child(string name) => new(string.IsNullOrEmpty(Value) ? name : $"{Value}.{name}");

    /// <inheritdoc/>
    public override string ToString() => Value;
}
