using System.Runtime.InteropServices;
using System.Text;

namespace CudaLora.Kernels.Driver;

/// <summary>
/// Finds driver entry points. Asks cuGetProcAddress for the CUDA 12.0 meaning of a name, so that a newer driver
/// cannot hand out a call with other arguments; falls back on the library's own exports.
/// </summary>
internal sealed unsafe class SymbolFinder
{
    private const int CudaVersion = 12000;

    private readonly nint library;
    private readonly delegate* unmanaged<byte*, nint*, int, ulong, int*, CudaResult> getProcAddress;
    private string? missing;

    public SymbolFinder(nint library)
    {
        this.library = library;
        if (NativeLibrary.TryGetExport(library, "cuGetProcAddress_v2", out nint address))
            getProcAddress = (delegate* unmanaged<byte*, nint*, int, ulong, int*, CudaResult>)address;
    }

    /// <summary>The first symbol that was asked for and not found.</summary>
    public string? Missing => missing;

    /// <summary>
    /// Address of <paramref name="export"/> (a `_v2` name where the driver has one), or 0 and <see cref="Missing"/>.
    /// </summary>
    public nint Symbol(string export)
    {
        if (getProcAddress != null && TryProcAddress(BaseName(export), out nint address)) return address;
        if (NativeLibrary.TryGetExport(library, export, out address)) return address;
        missing ??= export;
        return 0;
    }

    // cuGetProcAddress takes names without the version suffix.
    private static string BaseName(string export) =>
        export.EndsWith("_v2", StringComparison.Ordinal) ? export[..^3] : export;

    private bool TryProcAddress(string name, out nint address)
    {
        nint found = 0;
        int status = 0;
        fixed (byte* text = Encoding.UTF8.GetBytes(name + '\0'))
        {
            CudaResult result = getProcAddress(text, &found, CudaVersion, 0, &status);
            address = found;
            return result == CudaResult.Success && found != 0;
        }
    }
}
