using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>Rows of a table by id, f32 or bf16 on either side, and the table's gradient without atomics.</summary>
public static class Embedding
{
    private const int OrderWarps = 8;

    /// <summary>table (vocabulary, cols), ids (rows), y (rows, cols).</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ForwardArgs(ulong Table, DevicePointer<int> Ids, ulong Y, int Rows, int Cols);

    /// <summary>ids, order (rows): order receives the rows by id, then by row.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct OrderArgs(DevicePointer<int> Ids, DevicePointer<int> Order, int Rows);

    /// <summary>
    /// dy (rows, cols), ids, order (rows), dtable (vocabulary, cols), whose rows without an id stay as they are.
    /// Accumulate 1 adds to the others.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct BackwardArgs(
        ulong Dy, DevicePointer<int> Ids, DevicePointer<int> Order, ulong Dtable, int Rows, int Cols, int Accumulate);

    /// <summary>The order: a warp per row.</summary>
    public static LaunchShape OrderShape(int rows) =>
        new((int)(((long)rows + OrderWarps - 1) / OrderWarps), new Dim3(32, OrderWarps));

    /// <summary>Queues y = table[ids].</summary>
    public static void Forward(CudaStream stream, in ForwardArgs args, bool tableBf16, bool bf16)
    {
        string entry = (tableBf16, bf16) switch
        {
            (false, false) => "embedding_forward_f32",
            (true, true) => "embedding_forward_bf16",
            (false, true) => "embedding_round_bf16",
            (true, false) => "embedding_widen_f32",
        };
        stream.Context.Modules.Kernel<ForwardArgs>("Embedding", entry)
            .Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 0), args);
    }

    /// <summary>Queues the order of the rows, which <see cref="Backward"/> needs: rows^2 comparisons.</summary>
    public static void Order(CudaStream stream, in OrderArgs args) =>
        stream.Context.Modules.Kernel<OrderArgs>("EmbeddingBackward", "embedding_order_i32")
            .Launch(stream, OrderShape(args.Rows), args);

    /// <summary>Queues dtable[id] (+)= the sum of the rows of dy with that id.</summary>
    /// <exception cref="ArgumentException">The gradient is bf16 while dy is f32.</exception>
    public static void Backward(CudaStream stream, in BackwardArgs args, bool bf16, bool tableBf16)
    {
        (string stem, string entry) = (bf16, tableBf16) switch
        {
            (false, false) => ("EmbeddingBackward", "embedding_backward_f32"),
            (true, true) => ("EmbeddingBackwardBf16", "embedding_backward_bf16"),
            (true, false) => ("EmbeddingBackwardMixed", "embedding_backward_mixed_bf16"),
            _ => throw new ArgumentException("[embedding] the table's gradient must not be bf16 when dy is f32"),
        };
        stream.Context.Modules.Kernel<BackwardArgs>(stem, entry)
            .Launch(stream, RowTeam.Shape(args.Rows, args.Cols, bf16, caches: 0), args);
    }
}
