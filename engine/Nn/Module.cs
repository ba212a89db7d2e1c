namespace CudaLora.Engine;

/// <summary>
/// A part of a model: parameters by path, children, and a training flag. Subclasses register what they own in the
/// constructor; nothing is found by reflection.
/// </summary>
/// <param name="path">Name of the module; its parameters' names start with it.</param>
public abstract class Module(ParameterPath path) : IDisposable
{
    private readonly List<Parameter> own = [];
    private readonly List<Module> children = [];
    private bool training;

    /// <summary>Name of the module.</summary>
    public ParameterPath Path { get; } = path;

    /// <summary>Direct children in the order they were made.</summary>
    public IReadOnlyList<Module> Children => children;

    /// <summary>True while training: dropout is active. Set on a module, it holds for all below it.</summary>
    public bool Training
    {
        get => training;
        set
        {
            training = value;
            foreach (var child in children)
                child.Training = value;
        }
    }

    /// <summary>This module and all below it, depth first.</summary>
    public IEnumerable<Module> Modules()
    {
        yield return this;
        foreach (var child in children)
        {
            foreach (var module in child.Modules())
                yield return module;
        }
    }

    /// <summary>All parameters, this module's before its children's.</summary>
    public IEnumerable<Parameter> Parameters() => Modules().SelectMany(m => m.own);

    /// <summary>Sets <see cref="Parameter.Trainable"/> on all parameters.</summary>
    public void SetTrainable(bool trainable)
    {
        foreach (var parameter in Parameters())
            parameter.Trainable = trainable;
    }

    /// <summary>Marks all gradients as zero.</summary>
    public void ZeroGrad()
    {
        foreach (var module in Modules())
        {
            foreach (var parameter in module.own)
                parameter.Value.ZeroGrad();
        }
    }

    /// <summary>Releases all parameters.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Releases own parameters, then the children.</summary>
    protected virtual void Dispose(bool disposing)
    {
        if (!disposing)
            return;
        foreach (var parameter in own)
            parameter.Dispose();
        own.Clear();
        foreach (var child in children)
            child.Dispose();
        children.Clear();
    }

    /// <summary>Registers a parameter of this module.</summary>
    protected Parameter Own(Parameter parameter)
    {
        own.Add(parameter);
        return parameter;
    }

    /// <summary>Takes a parameter out again without releasing it: an adapter that is removed.</summary>
    protected void Disown(Parameter parameter) => own.Remove(parameter);

    /// <summary>Registers a child.</summary>
    protected T Child<T>(T child)
        where T : Module
    {
        children.Add(child);
        return child;
    }

    /// <summary>Takes a child out again without releasing it.</summary>
    protected void Orphan(Module child) => children.Remove(child);
}
