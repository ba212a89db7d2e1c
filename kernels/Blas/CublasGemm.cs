using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Blas;

/// <summary>
/// Matrix products by cuBLASLt with f32 sums and a workspace of its own per stream. The first time a shape is seen the
/// library's proposals are timed and the best is frozen, in memory and in a cache file, so that a shape always runs the
/// same algorithm and gives the same bits.
/// </summary>
public sealed unsafe class CublasGemm : IGemm
{
    /// <summary>Bytes of workspace per stream: NVIDIA's advice for Hopper.</summary>
    public const int WorkspaceBytes = 32 << 20;

    private readonly CudaContext context;
    private readonly CublasLt library;
    private readonly nint handle;
    private readonly AlgorithmCache cache;
    private readonly Lock gate = new();
    private readonly Dictionary<GemmShape, CublasPlan> plans = [];
    private readonly Dictionary<nint, ulong> workspaces = [];

    private CublasGemm(CudaContext context, CublasLt library, string name, nint handle, string? cacheFile)
    {
        (this.context, this.library, this.handle) = (context, library, handle);
        ulong version = library.Version;
        Name = string.Create(CultureInfo.InvariantCulture, $"cuBLASLt {version} ({name})");
        // A frozen choice holds for one library and one kind of device.
        cache = new AlgorithmCache(cacheFile, $"{version} {context.Properties.Name}");
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>Loads cuBLASLt 13 or 12; without it the reason says what was missing.</summary>
    /// <param name="context">Where products run.</param>
    /// <param name="gemm">The result.</param>
    /// <param name="reason">Library and version, or why there is none.</param>
    /// <param name="cacheFile">Where frozen choices are kept; null keeps them in memory.</param>
    /// <param name="libraries">Names or paths to try instead of the usual ones.</param>
    public static bool TryCreate(
        CudaContext context, [NotNullWhen(true)] out CublasGemm? gemm, out string reason, string? cacheFile = null,
        IReadOnlyList<string>? libraries = null)
    {
        ArgumentNullException.ThrowIfNull(context);
        gemm = null;
        if (!CublasLt.TryLoad(libraries, out CublasLt? library, out reason)) return false;
        nint handle = 0;
        int status = library.Create(&handle);
        if (status != 0)
        {
            reason = $"{reason}: cublasLtCreate returned {status}";
            return false;
        }
        gemm = new CublasGemm(context, library, reason, handle, cacheFile);
        reason = gemm.Name;
        return true;
    }

    /// <summary>
    /// Queues the product. The first time a shape is seen outside a capture this waits for the device and times the
    /// library's proposals, on buffers of its own.
    /// </summary>
    public void Run(CudaStream stream, in GemmShape shape, ulong a, ulong b, ulong c, float alpha = 1, float beta = 0)
    {
        ArgumentNullException.ThrowIfNull(stream);
        CublasPlan plan;
        ulong workspace;
        lock (gate)
        {
            if (!workspaces.TryGetValue(stream.Handle, out workspace))
            {
                workspace = context.Memory.AllocateBytes(WorkspaceBytes, stream);
                workspaces.Add(stream.Handle, workspace);
            }
            if (!plans.TryGetValue(shape, out plan!))
            {
                GemmChecks.Check(shape);
                plan = new CublasPlan(library, handle, shape);
                if (!cache.TryGet(shape, out plan.Algorithm))
                {
                    plan.Choose(context, stream, workspace);
                    cache.Add(shape, plan.Algorithm);
                }
                plans.Add(shape, plan);
            }
        }
        plan.Run(stream.Handle, a, b, c, alpha, beta, workspace);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (CublasPlan plan in plans.Values) plan.Dispose();
        plans.Clear();
        foreach (ulong workspace in workspaces.Values)
            context.Memory.FreeBytes(workspace, WorkspaceBytes, context.Stream);
        workspaces.Clear();
        _ = library.Destroy(handle);
    }
}
