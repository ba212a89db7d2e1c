namespace CudaLora.Engine;

/// <summary>A named leaf tensor of a module. Frozen unless <see cref="Trainable"/> is set.</summary>
public sealed class Parameter : IDisposable
{
    /// <summary>Wraps <paramref name="value"/>, which from then on belongs to the parameter.</summary>
    public Parameter(ParameterPath path, Tensor value)
    {
        Path = path;
        Value = value;
        value.Name = path.Value;
    }

    /// <summary>Full name: the safetensors key.</summary>
    public ParameterPath Path { get; }

    /// <summary>The values, F32 on the CPU.</summary>
    public Tensor Value { get; }

    /// <summary>Whether backward computes a gradient for it. Freezing releases the gradient's memory.</summary>
    public bool Trainable
    {
        get => Value.RequiresGrad;
        set
        {
            // What trains is read by ops and the optimiser as it comes.
            if (value)
                Value.RemoveAdapterRoom();
            Value.RequiresGrad = value;
            if (!value)
                Value.ReleaseGrad();
        }
    }

    /// <summary>The values, so that a parameter goes where a tensor is expected.</summary>
    public static implicit operator Tensor(Parameter parameter) => parameter.Value;

    /// <summary>The values.</summary>
    public Tensor ToTensor() => Value;

    /// <summary>Releases the values and the gradient.</summary>
    public void Dispose() => Value.Free();
}
