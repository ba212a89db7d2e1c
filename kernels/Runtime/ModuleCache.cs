using CudaLora.Kernels.Ops;

namespace CudaLora.Kernels.Runtime;

/// <summary>
/// The project's own PTX files as loaded into one context: each compiled once, each entry looked up once.
/// </summary>
public sealed class ModuleCache : IDisposable
{
    private readonly CudaContext context;
    private readonly Lock gate = new();
    private readonly Dictionary<string, CudaModule> modules = new(StringComparer.Ordinal);
    private readonly Dictionary<(string Stem, string Entry), object> kernels = [];

    internal ModuleCache(CudaContext context) => this.context = context;

    /// <summary>The module of <paramref name="stem"/>.ptx.</summary>
    public CudaModule Module(string stem)
    {
        lock (gate)
        {
            if (!modules.TryGetValue(stem, out CudaModule? module))
            {
                module = CudaModule.Load(context, KernelSource.Read(stem), stem + ".ptx");
                modules.Add(stem, module);
            }
            return module;
        }
    }

    /// <summary>An entry of <paramref name="stem"/>.ptx; the same object every time.</summary>
    public Kernel<TArgs> Kernel<TArgs>(string stem, string entry) where TArgs : unmanaged
    {
        lock (gate)
        {
            if (!kernels.TryGetValue((stem, entry), out object? kernel))
            {
                kernel = Module(stem).Kernel<TArgs>(entry);
                kernels.Add((stem, entry), kernel);
            }
            return (Kernel<TArgs>)kernel;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (CudaModule module in modules.Values) module.Dispose();
        modules.Clear();
        kernels.Clear();
    }
}
