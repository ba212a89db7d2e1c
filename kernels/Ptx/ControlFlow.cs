namespace CudaLora.Kernels.Ptx;

/// <summary>
/// The control-flow graph of a body at instruction granularity and its immediate post-dominators, where diverged lanes
/// meet again. The virtual exit has index <c>count</c>. Works for irreducible flow too (iterative data flow).
/// </summary>
internal static class ControlFlow
{
    /// <summary>True when the instruction ends a thread.</summary>
    public static bool EndsThread(PtxInstruction instruction) => instruction.Opcode is "exit" or "ret" or "trap";

    /// <summary>Immediate post-dominator of every instruction; the virtual exit is <c>body.Count</c>.</summary>
    public static int[] ImmediatePostDominators(IReadOnlyList<PtxInstruction> body)
    {
        int count = body.Count, exit = count;
        int[][] next = new int[count][];
        for (int i = 0; i < count; i++) next[i] = Successors(body[i], i, exit);

        // Post-order of the reversed graph from the exit, then Cooper-Harvey-Kennedy.
        var previous = new List<int>[count + 1];
        for (int i = 0; i <= count; i++) previous[i] = [];
        for (int i = 0; i < count; i++)
        {
            foreach (int to in next[i]) previous[to].Add(i);
        }
        int[] order = PostOrder(previous, exit, out int[] number);
        int[] dominator = new int[count + 1];
        Array.Fill(dominator, -1);
        dominator[exit] = exit;
        bool changed = true;
        while (changed)
        {
            changed = false;
            for (int k = order.Length - 2; k >= 0; k--)
            {
                int node = order[k];
                int candidate = -1;
                foreach (int to in next[node]) candidate = Meet(candidate, Known(to));
                if (candidate < 0 || dominator[node] == candidate) continue;
                dominator[node] = candidate;
                changed = true;
            }
        }
        // An endless loop never reaches the exit; its lanes meet nowhere but there.
        for (int i = 0; i < count; i++)
        {
            if (dominator[i] < 0) dominator[i] = exit;
        }
        return dominator[..count];

        int Known(int node) => node >= 0 && dominator[node] >= 0 ? node : -1;

        int Meet(int a, int b)
        {
            if (a < 0 || b < 0) return Math.Max(a, b);
            while (a != b)
            {
                while (number[a] < number[b]) a = dominator[a];
                while (number[b] < number[a]) b = dominator[b];
            }
            return a;
        }
    }

    private static int[] Successors(PtxInstruction instruction, int index, int exit)
    {
        int[] taken = EndsThread(instruction) ? [exit] : BranchTargets(instruction);
        if (taken.Length == 0) return [index + 1];
        return instruction.Guard is null ? taken : [.. taken, index + 1];
    }

    /// <summary>Where a bra or brx may go; empty for anything else.</summary>
    public static int[] BranchTargets(PtxInstruction instruction) => instruction.Opcode switch
    {
        "bra" when instruction.Operands.Count > 0 => [Math.Max(instruction.Operands[0].Target, 0)],
        "brx" when instruction.Operands.Count > 1 && instruction.Operands[1].Targets is { } list =>
            [.. list.Select(t => t.Target).Distinct()],
        _ => [],
    };

    private static int[] PostOrder(List<int>[] edges, int root, out int[] number)
    {
        number = new int[edges.Length];
        Array.Fill(number, -1);
        var order = new List<int>(edges.Length);
        var stack = new Stack<(int Node, int Edge)>();
        bool[] seen = new bool[edges.Length];
        stack.Push((root, 0));
        seen[root] = true;
        while (stack.Count > 0)
        {
            (int node, int edge) = stack.Pop();
            if (edge < edges[node].Count)
            {
                stack.Push((node, edge + 1));
                int to = edges[node][edge];
                if (seen[to]) continue;
                seen[to] = true;
                stack.Push((to, 0));
                continue;
            }
            number[node] = order.Count;
            order.Add(node);
        }
        return [.. order];
    }
}
