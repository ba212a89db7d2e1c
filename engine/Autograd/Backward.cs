namespace CudaLora.Engine;

/// <summary>Reverse-mode differentiation over the recorded ops.</summary>
public static class Autograd
{
    [ThreadStatic]
    private static Stack<Work>? idle;

    [ThreadStatic]
    private static long visits;

    /// <summary>
    /// Adds d(<paramref name="loss"/>)/d(leaf) to the gradient of every leaf that requires one, then releases the
    /// graph. A one-element loss starts from 1; any other needs <paramref name="seed"/>, a gradient of its shape.
    /// </summary>
    public static void Backward(this Tensor loss, Tensor? seed = null)
    {
        if (loss.Producer is null)
            throw new InvalidOperationException(
                $"[backward] loss must come from an op on a tensor that requires a gradient, but got {loss}");
        if (seed is null && loss.Count != 1)
            throw new ArgumentException($"[backward] loss must have one element, but got shape {loss.Shape}");
        if (seed is not null && seed.Count != loss.Count)
            throw new ArgumentException(
                $"[backward] seed must have the loss's shape {loss.Shape}, but got {seed.Shape}");
        Seed(loss, seed);
        idle ??= new Stack<Work>();
        var work = idle.Count > 0 ? idle.Pop() : new Work();
        try
        {
            Collect(loss.Producer, work);
            foreach (var op in work.Ops)
                Visit(op);
        }
        finally
        {
            work.Ops.Clear();
            work.Pending.Clear();
            idle.Push(work);
        }
    }

    private static void Seed(Tensor loss, Tensor? seed)
    {
        if (seed is not null && loss.TryAdoptGrad(seed))
            return;
        var g = loss.GradForWrite(out _);
        if (seed is null)
            g.Fill(1);
        else
            g.CopyFrom(seed);
    }

    private static void Collect(Op root, Work work)
    {
        var visit = ++visits;
        work.Pending.Push(root);
        root.Visit = visit;
        while (work.Pending.Count > 0)
        {
            var op = work.Pending.Pop();
            work.Ops.Add(op);
            for (var i = 0; i < op.InputCount; i++)
            {
                if (op.Input(i).Producer is { } producer && producer.Visit != visit)
                {
                    producer.Visit = visit;
                    work.Pending.Push(producer);
                }
            }
        }
        // An op always comes after the ops that made its inputs, so the order of creation is a topological order.
        work.Ops.Sort(static (a, b) => b.Order.CompareTo(a.Order));
    }

    private static void Visit(Op op)
    {
        var y = op.Output!;
        var dy = y.TakeGrad();
        y.Producer = null;
        if (dy is not null)
        {
            op.RunBackward(y, dy);
            dy.Recycle();
        }
        op.Drop();
    }

    private sealed class Work
    {
        public List<Op> Ops { get; } = [];

        public Stack<Op> Pending { get; } = new();
    }
}
