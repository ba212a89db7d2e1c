using System.Globalization;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;

namespace CudaLora.Tests.Repo;

/// <summary>An assembly's public types and members in C#-like lines, sorted, one member a line.</summary>
internal static class ApiText
{
    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance
        | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private static readonly NullabilityInfoContext Nullability = new();

    public static string Of(Assembly assembly)
    {
        var text = new StringBuilder();
        foreach (var type in assembly.GetExportedTypes().OrderBy(type => type.FullName, StringComparer.Ordinal))
        {
            text.Append(Header(type)).Append('\n');
            foreach (var line in Members(type).Distinct().Order(StringComparer.Ordinal))
                text.Append("    ").Append(line).Append('\n');
            text.Append('\n');
        }
        return text.ToString();
    }

    private static string Header(Type type)
    {
        var kind = type switch
        {
            { IsEnum: true } => "enum",
            { IsInterface: true } => "interface",
            _ when typeof(Delegate).IsAssignableFrom(type) => "delegate",
            { IsValueType: true } => "struct",
            { IsAbstract: true, IsSealed: true } => "static class",
            { IsAbstract: true } => "abstract class",
            { IsSealed: true } => "sealed class",
            _ => "class",
        };
        var bases = type.GetInterfaces().Where(t => t.IsPublic).Select(ApiNames.Of).Order(StringComparer.Ordinal);
        if (type.BaseType is { } b && b != typeof(object) && b != typeof(ValueType) && b != typeof(Enum)
            && b != typeof(MulticastDelegate))
            bases = bases.Prepend(ApiNames.Of(b)).Order(StringComparer.Ordinal);
        var inherits = type.IsEnum ? "" : string.Join(", ", bases);
        return $"{kind} {type.Namespace}.{ApiNames.Of(type)}{(inherits.Length > 0 ? " : " + inherits : "")}";
    }

    private static IEnumerable<string> Members(Type type)
    {
        if (type.IsEnum)
            return Enum.GetNames(type).Select(name =>
                $"{name} = {Convert.ToInt64(Enum.Parse(type, name), CultureInfo.InvariantCulture)}");
        if (typeof(Delegate).IsAssignableFrom(type))
            return [Method(type.GetMethod("Invoke")!)];
        return type.GetConstructors(Declared).Where(IsVisible).Where(c => !c.IsStatic)
            .Select(c => $"{type.Name.Split('`')[0]}({Parameters(c)})")
            .Concat(type.GetMethods(Declared).Where(IsVisible).Where(IsOwn).Select(Method))
            .Concat(type.GetProperties(Declared).Where(p => Accessors(p).Length > 0).Select(Property))
            .Concat(type.GetFields(Declared).Where(f => f.IsPublic || f.IsFamily).Select(Field));
    }

    private static bool IsVisible(MethodBase method) =>
        (method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly) && !IsGenerated(method);

    // Records bring their own equality and printing.
    private static bool IsGenerated(MemberInfo member) =>
        member.IsDefined(typeof(CompilerGeneratedAttribute)) || member.Name.Contains('<');

    private static bool IsOwn(MethodInfo method) =>
        !method.IsSpecialName || method.Name.StartsWith("op_", StringComparison.Ordinal);

    private static string Method(MethodInfo method)
    {
        var generic = method.IsGenericMethod
            ? $"<{string.Join(", ", method.GetGenericArguments().Select(t => t.Name))}>"
            : "";
        var result = ApiNames.Of(method.ReturnType, Nullability.Create(method.ReturnParameter).ReadState);
        return $"{Modifiers(method)}{result} {method.Name}{generic}({Parameters(method)})";
    }

    private static string Property(PropertyInfo property)
    {
        var index = property.GetIndexParameters();
        var name = index.Length > 0 ? $"this[{string.Join(", ", index.Select(Parameter))}]" : property.Name;
        var accessors = Accessors(property);
        var type = ApiNames.Of(property.PropertyType, Nullability.Create(property).ReadState);
        var required = property.CustomAttributes.Any(a => a.AttributeType.Name == "RequiredMemberAttribute")
            ? "required "
            : "";
        return $"{Modifiers((property.GetMethod ?? property.SetMethod)!)}{required}{type} {name} {{ {accessors} }}";
    }

    private static string Accessors(PropertyInfo property)
    {
        if (property.Name.Contains('.') || property.Name == "EqualityContract")
            return "";
        var get = property.GetMethod is { } getter && (getter.IsPublic || getter.IsFamily) ? "get;" : "";
        if (property.SetMethod is not { } setter || !(setter.IsPublic || setter.IsFamily))
            return get;
        var isInit = setter.ReturnParameter.GetRequiredCustomModifiers().Contains(typeof(IsExternalInit));
        return $"{get} {(isInit ? "init;" : "set;")}".Trim();
    }

    private static string Field(FieldInfo field)
    {
        var value = field.IsLiteral ? $" = {Literal(field.GetRawConstantValue())}" : "";
        var modifiers = field.IsLiteral ? "const " : field.IsStatic ? "static " : "";
        return $"{modifiers}{ApiNames.Of(field.FieldType)} {field.Name}{value}";
    }

    private static string Modifiers(MethodBase method) =>
        (method.IsFamily || method.IsFamilyOrAssembly ? "protected " : "")
        + (method.IsStatic ? "static " : "")
        + (method is { IsAbstract: true, DeclaringType.IsInterface: false } ? "abstract " : "");

    private static string Parameters(MethodBase method)
    {
        var extension = method.IsDefined(typeof(ExtensionAttribute)) ? "this " : "";
        return extension + string.Join(", ", method.GetParameters().Select(Parameter));
    }

    private static string Parameter(ParameterInfo parameter)
    {
        var direction = parameter.IsOut ? "out " : parameter.IsIn ? "in "
            : parameter.ParameterType.IsByRef ? "ref " : "";
        var type = ApiNames.Of(parameter.ParameterType, Nullability.Create(parameter).ReadState);
        var value = parameter.HasDefaultValue ? $" = {Literal(parameter.RawDefaultValue)}" : "";
        return $"{direction}{type} {parameter.Name}{value}";
    }

    private static string Literal(object? value) => value switch
    {
        null => "default",
        string text => $"\"{text}\"",
        bool flag => flag ? "true" : "false",
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString()!,
    };
}
