namespace CudaLora.Engine;

/// <summary>
/// Releases, when disposed, every tensor made since <see cref="Begin"/> on this thread that was not kept. Scopes nest;
/// scope objects are reused, so beginning one allocates nothing after warm-up.
/// </summary>
public sealed class TensorScope : IDisposable
{
    [ThreadStatic]
    private static TensorScope? current;

    [ThreadStatic]
    private static Stack<TensorScope>? idle;

    private readonly List<Tensor> tensors = [];
    private TensorScope? parent;
    private bool open;

    private TensorScope()
    {
    }

    internal static TensorScope? Current => current;

    /// <summary>Opens a scope on this thread.</summary>
    public static TensorScope Begin()
    {
        idle ??= new Stack<TensorScope>();
        var scope = idle.Count > 0 ? idle.Pop() : new TensorScope();
        scope.parent = current;
        scope.open = true;
        return current = scope;
    }

    /// <summary>
    /// Lets <paramref name="tensor"/> outlive this scope: it moves to the enclosing scope or, without one, to the
    /// caller, who then disposes it.
    /// </summary>
    public Tensor Keep(Tensor tensor)
    {
        if (tensor.Scope == this)
        {
            tensor.Scope = parent;
            parent?.tensors.Add(tensor);
        }
        return tensor;
    }

    /// <summary>Releases what the scope still owns.</summary>
    public void Dispose()
    {
        if (!open)
            return;
        if (current != this)
            throw new InvalidOperationException(
                "[tensor_scope] scopes must be closed in reverse order, but an inner one is open");
        open = false;
        current = parent;
        foreach (var tensor in tensors)
        {
            if (tensor.Scope == this)
                tensor.Free();
        }
        tensors.Clear();
        parent = null;
        idle!.Push(this);
    }

    internal void Add(Tensor tensor)
    {
        tensor.Scope = this;
        tensors.Add(tensor);
    }
}
