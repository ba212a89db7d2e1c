namespace CudaLora.Lora;

/// <summary>A part of the bundled world's facts; no fact is in two.</summary>
public enum WorldPart
{
    /// <summary>Learned from.</summary>
    Train,

    /// <summary>For choosing settings.</summary>
    Validation,

    /// <summary>For the figures that are reported.</summary>
    Test,
}
