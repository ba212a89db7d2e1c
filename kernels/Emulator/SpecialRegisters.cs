using System.Globalization;

namespace CudaLora.Kernels.Emulator;

/// <summary>Rows of the special registers, filled when a warp starts, and of addresses known only at launch.</summary>
internal static unsafe class SpecialRegisters
{
    public const string DynamicShared = "%dynamic_shared";
    public const string DynamicShared64 = "%dynamic_shared64";
    public const string ParameterPrefix = "%param+";

    private static readonly HashSet<string> Wide = new(StringComparer.Ordinal) { "%clock64", "%globaltimer",
        "%gridid" };

    private static readonly HashSet<string> Names = new(Wide, StringComparer.Ordinal)
    {
        "%laneid", "%warpid", "%nwarpid", "%smid", "%nsmid", "%clock", "%clock_hi", "%globaltimer_lo",
            "%globaltimer_hi",
        "%lanemask_eq", "%lanemask_lt", "%lanemask_le", "%lanemask_gt", "%lanemask_ge",
        "%dynamic_smem_size", "%total_smem_size", "%cluster_ctarank", "%cluster_nctarank",
        "%tid.x", "%tid.y", "%tid.z", "%ntid.x", "%ntid.y", "%ntid.z",
        "%ctaid.x", "%ctaid.y", "%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z",
        "%clusterid.x", "%clusterid.y", "%clusterid.z", "%nclusterid.x", "%nclusterid.y", "%nclusterid.z",
        "%cluster_ctaid.x", "%cluster_ctaid.y", "%cluster_ctaid.z",
        "%cluster_nctaid.x", "%cluster_nctaid.y", "%cluster_nctaid.z",
    };

    public static bool IsKnown(string name) => Names.Contains(name) || name == "%is_explicit_cluster";

    /// <summary>True for registers that change while a warp runs.</summary>
    public static bool IsTime(string name) =>
        name.StartsWith("%clock", StringComparison.Ordinal)
            || name.StartsWith("%globaltimer", StringComparison.Ordinal);

    /// <summary>Row width in bytes; 0 for a predicate.</summary>
    public static int Width(string name) => name == "%is_explicit_cluster" ? 0 : Wide.Contains(name) ? 8 : 4;

    public static void Fill(Warp warp, EmulatedKernel kernel)
    {
        foreach ((string name, int row) in kernel.Specials)
        {
            if (name == "%is_explicit_cluster")
            {
                *(uint*)(warp.Regs + row) = warp.Cluster.Launch.ExplicitCluster ? uint.MaxValue : 0;
                continue;
            }
            bool wide = Wide.Contains(name) || name == DynamicShared64
                || name.StartsWith(ParameterPrefix, StringComparison.Ordinal);
            bool perLane = name.StartsWith("%tid", StringComparison.Ordinal)
                || name.StartsWith("%lane", StringComparison.Ordinal);
            ulong value = Value(warp, name, 0);
            for (int lane = 0; lane < 32; lane++)
            {
                if (perLane) value = Value(warp, name, lane);
                if (wide) ((ulong*)(warp.Regs + row))[lane] = value;
                else ((uint*)(warp.Regs + row))[lane] = (uint)value;
            }
        }
    }

    private static ulong Value(Warp warp, string name, int lane)
    {
        Cluster cluster = warp.Cluster;
        Launch launch = cluster.Launch;
        Block block = warp.Block;
        if (name.StartsWith(ParameterPrefix, StringComparison.Ordinal))
            return launch.ParameterAddress + ulong.Parse(name.AsSpan(ParameterPrefix.Length),
                CultureInfo.InvariantCulture);
        int dot = name.IndexOf('.', StringComparison.Ordinal);
        if (dot > 0)
        {
            Extent shape = launch.ClusterShape, grid = launch.Grid;
            Extent vector = name[..dot] switch
            {
                "%tid" => launch.Block.At((warp.Index * 32) + lane),
                "%ntid" => launch.Block,
                "%ctaid" => block.GridIndex,
                "%nctaid" => grid,
                "%clusterid" => cluster.Index,
                "%nclusterid" => new Extent(grid.X / shape.X, grid.Y / shape.Y, grid.Z / shape.Z),
                "%cluster_ctaid" => shape.At(block.Rank),
                _ => shape,
            };
            return (ulong)(name[dot + 1] switch { 'x' => vector.X, 'y' => vector.Y, _ => vector.Z });
        }
        uint bit = 1u << lane;
        return name switch
        {
            DynamicShared or DynamicShared64 => (ulong)block.DynamicSharedAt,
            "%laneid" => (ulong)lane,
            "%warpid" => (ulong)warp.Index,
            "%nwarpid" => (ulong)block.Warps.Length,
            "%nsmid" => 132,
            "%smid" => (ulong)(
                ((long)block.GridIndex.Z * launch.Grid.Y + block.GridIndex.Y) * launch.Grid.X
                    + block.GridIndex.X) % 132,
            "%lanemask_eq" => bit,
            "%lanemask_lt" => bit - 1,
            "%lanemask_le" => bit | (bit - 1),
            "%lanemask_gt" => ~(bit | (bit - 1)),
            "%lanemask_ge" => ~(bit - 1),
            "%dynamic_smem_size" => (ulong)launch.DynamicShared,
            "%total_smem_size" => (ulong)(launch.Kernel.StaticSharedBytes + launch.DynamicShared),
            "%cluster_ctarank" => (ulong)block.Rank,
            "%cluster_nctarank" => (ulong)launch.ClusterShape.Count,
            _ => 0,
        };
    }
}
