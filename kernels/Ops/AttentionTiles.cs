namespace CudaLora.Kernels.Ops;

// What the attention kernels and their launches agree on.
internal static class AttentionTiles
{
    /// <summary>Rows (queries or keys) of a block in the f32 kernels.</summary>
    public const int SimtRows = 16;
}
